"""A folder of masks a picture, one file an object, as in the Data Science Bowl of 2018."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from deepunetto_mm.utils.errors import DataError

from .folders import pair_names, sort_files
from .pictures import read_map, require_size
from .scenes import Annotations, Outline, Scene, split_of

WHAT = 'folders of masks, one file an object'


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether most masks lie in a folder of their picture, and have not its name."""
    try:
        roles = sort_files(root, files)
    except DataError:
        return False
    if not roles['picture'] or not roles['mask'] or pair_names(roles):
        return False
    owners = _owners(list(roles['picture']))
    lonely = [name for name in roles['mask'] if name not in roles['picture']]
    owned = [name for name in lonely if _owner(name, owners) is not None]
    return len(lonely) > len(roles['mask']) / 2 and len(owned) > len(lonely) / 2


def _owners(pictures: Sequence[str]) -> dict[str, str]:
    """Picture by the folder that its masks may be in: of its own name, or its own folder, if it is alone there."""
    folders = Counter(name.rpartition('/')[0] for name in pictures)
    alone = {name.rpartition('/')[0]: name for name in pictures if folders[name.rpartition('/')[0]] == 1}
    return {**{folder: name for folder, name in alone.items() if folder}, **{name: name for name in pictures}}


def _owner(mask: str, owners: dict[str, str]) -> Optional[tuple[str, str]]:
    """The picture of a mask, and the folder below the picture's, which is the object's class."""
    folder = mask.rpartition('/')[0]
    if folder in owners:
        return owners[folder], ''
    above, _, last = folder.rpartition('/')
    return (owners[above], last) if above in owners else None


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read the lists of files; ``masks/PICTURE/CLASS/1.png`` has a class, ``masks/PICTURE/1.png`` has none."""
    found, roles = Annotations(), sort_files(root, files)
    pictures, owners = roles['picture'], _owners(list(roles['picture']))
    scenes: dict[str, Scene] = {}
    for name, path in sorted(roles['mask'].items()):
        owned = _owner(name, owners)
        if owned is None:
            message = f'{path}: it is in no folder of a picture; move or remove it'
            found.problems.append(DataError(message, 'file of no picture'))
            continue
        picture, label = owned
        if picture not in scenes:
            *above, stem = picture.split('/')
            split, folders = split_of(above)
            # ID/images/ID.png is called ID.
            short = folders if folders[-1:] == (stem,) else (*folders, stem)
            scenes[picture] = Scene('/'.join(short), pictures[picture], path.parent, split)
        scenes[picture].outlines.append(Outline(label or 'object', '', partial(_draw, path)))
    found.scenes = list(scenes.values())
    rest = sorted(set(pictures) - set(scenes))
    if rest:
        found.notes.append(f'{len(rest)} pictures have no mask and are left out, such as {pictures[rest[0]]}')
    return found


def _draw(path: Path, height: int, width: int) -> np.ndarray:
    values = read_map(path)
    values = values[..., :3].max(axis=2) if values.ndim == 3 else values
    # Smoothed edges, and what JPEG leaves around objects, are below the half.
    return require_size(path, values > values.max(initial=0) / 2, height, width)
