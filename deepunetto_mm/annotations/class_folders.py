"""Pictures sorted by class, without masks: masks are made from brightness."""

from __future__ import annotations

from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Iterable, Mapping, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.threshold_masks.labelled_pictures import read_classes
from deepunetto_mm.threshold_masks.thresholding import ThresholdMask, ThresholdOptions, threshold_mask
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import read_picture

from .folders import is_of_pictures
from .name_tables import named_scenes, read_name_tables
from .pictures import have_few_colours, is_picture, require_size
from .scenes import Annotations, Outline, Scene, split_of

WHAT = 'a folder a class, without masks'
_SAMPLE = 24
_POOR = 0.6
# Methods and channels that were best on some data: docs/threshold_masks.md.
_CANDIDATES = (('otsu', 'luminance'), ('otsu', 'saturation'), ('adaptive', 'luminance'), ('adaptive', 'blue'))


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there are pictures in folders of classes, or tables of pictures."""
    own = _by_folder(root, files)
    if own and read_name_tables(root, [path for paths in own.values() for path in paths], []):
        return True
    depth = _depth(own) if own else 0
    return () not in own and len({folder[depth] for folder in own}) > 1 and not why_not(root, files)


def why_not(root: Path, files: Sequence[Path]) -> str:
    """Why folders are no classes, for an error; empty if they may be."""
    own = _by_folder(root, files)
    if any(is_of_pictures(part) for folder in own for part in folder[_depth(own) :][:1]):
        return 'pictures are in folders that are called after pictures, and not after classes'
    beside = next((path for path in own.get((), ()) if path.parent != root), None)
    if beside is not None and len(own) > 1:
        return (
            f'{beside} is in no folder of a class: {beside.parent.name!r} is read as a split; call it otherwise if it '
            'is a class'
        )
    # A classifier would learn to distinguish pictures from masks.
    maps = {folder: have_few_colours(paths) for folder, paths in own.items()}
    if len(set(maps.values())) < 2:
        return ''
    one, other = (next('/'.join(folder) for folder, are in maps.items() if are == wanted) for wanted in (True, False))
    return (
        f'the pictures in {one!r} have the few colours of masks, and those in {other!r} not: call the folders masks '
        'and images; or, if they are classes, give --format class_folders'
    )


def _depth(folders: Iterable[tuple[str, ...]]) -> int:
    """Number of folders above those of the classes, which all pictures share."""
    own = list(folders)
    shared = len(list(takewhile(lambda alike: len(set(alike)) == 1, zip(*own))))
    return max(0, min([shared, *(len(folder) - 1 for folder in own)]))


def _by_folder(root: Path, files: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    own: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        if is_picture(path):
            own.setdefault(split_of(path.relative_to(root).parts[:-1])[1], []).append(path)
    return own


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read the names of the folders, or the tables; ``classes.csv`` may assign fine classes to kinds."""
    found, scenes = Annotations(), []
    for path in sorted(path for path in files if is_picture(path)):
        split, folders = split_of(path.relative_to(root).parts[:-1])
        scenes.append(Scene('/'.join([*folders, path.stem]), path, path, split))
    kinds, ids = _read_kinds(root)
    by_tables = bool(read_name_tables(root, [scene.picture for scene in scenes], []))
    named = _named_by_tables(root, scenes, ids, found) if by_tables else _named_by_folders(root, scenes, found)
    options = _best_options([scene.picture for scene, _ in named], found)
    found.whole = options is None
    for scene, fine in named:
        draw = _whole if options is None else partial(_draw, scene.picture, options)
        scene.outlines = [Outline(kinds.get(fine, 'object'), fine, draw)]
        found.scenes.append(scene)
    return found


def _read_kinds(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Kind by fine class, and fine class by id."""
    path = root / 'classes.csv'
    if not path.is_file():
        return {}, {}
    taxonomy, ids = read_classes(str(path))
    return {fine: group.name for group in taxonomy.groups for fine in group.fine_classes}, ids


def _named_by_folders(root: Path, scenes: Sequence[Scene], found: Annotations) -> list[tuple[Scene, str]]:
    named = []
    depth = _depth(_by_folder(root, [scene.picture for scene in scenes]))
    for scene in scenes:
        folders = split_of(scene.picture.relative_to(root).parts[:-1])[1]
        if folders:
            named.append((scene, folders[depth]))
        else:
            message = f'{scene.picture}: this picture is in no folder of a class; move it to one'
            found.problems.append(DataError(message, 'fine label'))
    return named


def _named_by_tables(
    root: Path, scenes: Sequence[Scene], ids: Mapping[str, str], found: Annotations
) -> list[tuple[Scene, str]]:
    named, in_tables = [], set()
    for where, scene, split, row in named_scenes(root, scenes, found):
        in_tables.add(scene.picture)
        fine = row['fine_class'] if 'fine_class' in row else ids.get(row['fine_id'])
        if not fine:
            found.problems.append(DataError(f'{where}: no fine class; fix the row', 'fine label'))
            continue
        scene.split = split or scene.split
        named.append((scene, fine))
    rest = [scene.picture for scene in scenes if scene.picture not in in_tables]
    if rest:
        found.notes.append(f'{len(rest)} pictures are in no row of the tables and are left out, such as {rest[0]}')
    return named


def _best_options(paths: Sequence[Path], found: Annotations) -> Optional[ThresholdOptions]:
    """The options with the best median score on a sample of the pictures; None if all are poor, or cannot be tried."""
    if not find_spec('skimage'):
        found.notes.append(
            'there are no masks, and to make them by brightness needs scikit-image (pip install scikit-image): each '
            'picture is taken for one object as a whole'
        )
        return None
    sample = list(paths)[:: max(1, len(paths) // _SAMPLE)]
    candidates = [ThresholdOptions(method, channel, keep_largest=True) for method, channel in _CANDIDATES]
    scores = []
    for options in candidates:
        own = []
        for path in sample:
            try:
                own.append(_threshold(path, options).score)
            except DataError:
                continue  # it is reported when its scene is drawn
        scores.append(float(np.median(own)) if own else 0.0)
    best = int(np.argmax(scores))
    options = candidates[best]
    if scores[best] < _POOR:
        found.notes.append(
            f'there are no masks, and those by brightness are poor (median score {scores[best]:.2f}): each picture is '
            'taken for one object as a whole; docs/threshold_masks.md makes masks by other options'
        )
        return None
    found.notes.append(
        f'there are no masks: they are made by the threshold {options.method!r} on {options.channel!r}, whose median '
        f'score is {scores[best]:.2f}'
    )
    return options


@lru_cache(maxsize=4)
def _threshold(path: Path, options: ThresholdOptions) -> ThresholdMask:
    return threshold_mask(cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB), options)


def _whole(height: int, width: int) -> np.ndarray:
    return np.ones((height, width), bool)


def _draw(path: Path, options: ThresholdOptions, height: int, width: int) -> np.ndarray:
    return require_size(path, _threshold(path, options).mask > 0, height, width)
