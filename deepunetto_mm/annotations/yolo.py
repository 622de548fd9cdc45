"""YOLO-seg: a text file for each picture, with the class and the polygon of an object in a line."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import yaml

from deepunetto_mm.datasets.file_names import composed
from deepunetto_mm.utils.config_parts import as_list
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_text, write_whole

from .pictures import is_picture
from .polygons import bridged_polygon, polygon_mask
from .scenes import Annotations, DrawnPicture, Outline, Scene, parse_label, split_of

WHAT = 'text files of YOLO-seg, with a data.yaml or classes.txt of the names'
_LINE = re.compile(r'\d+(\.0*)?(\s+-?[0-9.eE+-]+){4,}\s*')
_FURTHEST = 2.0  # of a corner, in sizes of the picture


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there are names, and a text file of polygons."""
    places = {_place(root, path, 'images') for path in files if is_picture(path)}
    texts = [path for path in files if path.suffix.lower() == '.txt' and _place(root, path, 'labels') in places]
    # Those of pictures without an object are empty, and may be the first ones.
    texts = [path for path in texts if path.stat().st_size][:20]
    return bool(_names_files(files)) and any(_LINE.match(read_text(str(path)).strip()) for path in texts)


def _names_files(files: Sequence[Path]) -> list[Path]:
    found = [path for path in files if path.suffix.lower() in ('.yaml', '.yml')]
    found = [path for path in found if re.search(r'^names\s*:', read_text(str(path)), re.MULTILINE)]
    return found or [path for path in files if path.name == 'classes.txt']


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read the text file of every picture; a picture without one has no object, as in YOLO."""
    found = Annotations()
    names = {path: _read_names(path) for path in _names_files(files)}
    if not names:
        raise DataError(f'{root}: no data.yaml with the names of the classes')
    texts = {_place(root, path, 'labels'): path for path in files if path.suffix.lower() == '.txt'}
    pictures = {path: _place(root, path, 'images') for path in files if is_picture(path)}
    listed = _listed_splits(names, pictures, found)
    free = set(pictures.values()) - set(texts)
    for place in sorted(set(texts) - set(pictures.values())):
        if _LINE.match(read_text(str(texts[place])).strip()):
            message = (
                f'{texts[place]}: no picture belongs to this file{found.suggest(place, free)}; rename or remove it'
            )
            found.problems.append(DataError(message, 'file of no picture'))
    for picture, place in pictures.items():
        split, folders = split_of(place.split('/')[:-1])
        source = texts.get(place)
        scene = Scene('/'.join([*folders, picture.stem]), picture, source or picture, listed.get(picture, split))
        try:
            scene.outlines = [] if source is None else _read_lines(source, _names_of(source, names))
        except DataError as error:
            found.problems.append(error)
            continue
        found.scenes.append(scene)
    if free:
        found.notes.append(f'{len(free)} of {len(pictures)} pictures have no text file, and so no object')
    return found


def write(pictures: Sequence[DrawnPicture], root: Path) -> None:
    """Write a text file for every picture, a line for each object, whose holes and parts are joined by bridges."""
    labels = sorted({item.label for picture in pictures for item in picture.objects if not item.is_ignored})
    for picture in pictures:
        lines = []
        for item in picture.objects:
            if item.is_ignored:  # YOLO knows no such areas
                continue
            shares = bridged_polygon(item.mask()) / (picture.width, picture.height)
            lines.append(f'{labels.index(item.label)} ' + ' '.join(f'{share:.10g}' for share in shares.ravel()))
        write_whole(root / 'labels' / f'{picture.place}.txt', ''.join(f'{line}\n' for line in lines).encode())
    folders = {split: f'images/{split}' for split in sorted({picture.split for picture in pictures if picture.split})}
    content = dict(path='.', **(folders or dict(train='images', val='images')), names=dict(enumerate(labels)))
    write_whole(root / 'data.yaml', yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode())


def _place(root: Path, path: Path, role: str) -> str:
    parts = list(path.relative_to(root).with_suffix('').parts)
    if role in parts[:-1]:
        parts.remove(role)
    return composed('/'.join(parts))


def _read_names(path: Path) -> dict[int, str]:
    if path.suffix == '.txt':
        lines = enumerate(read_text(str(path)).splitlines())
        return {index: line.strip() for index, line in lines if line.strip()}
    names = _load(path)['names']
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    found = {int(index): str(name) for index, name in pairs if str(index).isdecimal()}
    if not found:
        raise DataError(f'{path}: names must be a list, or names by number')
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(str(path)), yaml.BaseLoader)  # `no` and `01` as they are written
        content['names']
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise DataError(f'{path}: not YAML with names ({type(error).__name__}); export it again') from error
    return content


def _listed_splits(sources: Iterable[Path], pictures: Collection[Path], found: Annotations) -> dict[Path, str]:
    """The split of each picture that is in one of ``train``, ``val`` and ``test`` of a data.yaml.

    Each of them is a folder or a list of pictures, or several. A picture in two of them is in none, as where no split
    was made and all name one folder.
    """
    splits = defaultdict(set)
    for source in [source for source in sources if source.suffix != '.txt']:
        content = _load(source)
        bases = [source.parent]
        bases[:0] = [end for end in _ends(str(content.get('path', '')), bases) if os.path.isdir(end)][:1]
        for split in ('train', 'val', 'test'):
            for entry in map(str, filter(None, as_list(content.get(split)))):
                # A path that cannot be, too long for one, does not exist; Path.exists would raise.
                place = next((end for end in _ends(entry, bases) if os.path.exists(end)), None)
                if place is None:
                    found.notes.append(f'{source}: {entry}, which has the pictures of {split}, is not there')
                    continue
                for picture in _pictures_of(place, bases, pictures, found):
                    splits[picture].add(split)
    return {picture: own.pop() for picture, own in splits.items() if len(own) == 1}


def _pictures_of(place: Path, bases: Sequence[Path], pictures: Collection[Path], found: Annotations) -> list[Path]:
    """The pictures in a folder, or those that a list names."""
    if place.is_dir():
        return [picture for picture in pictures if place in picture.parents]
    if place in pictures:
        return [place]
    lines = [line.strip() for line in read_text(str(place)).splitlines() if line.strip()]
    own = [next((end for end in _ends(line, [place.parent, *bases]) if end in pictures), None) for line in lines]
    if None in own:
        found.notes.append(f'{place}: {own.count(None)} of {len(lines)} lines name no picture that is there')
    return [path for path in own if path is not None]


def _ends(path: str, bases: Iterable[Path]) -> Iterator[Path]:
    """What a path, perhaps of another machine, may be here: its ends in each folder, the longest first."""
    parts = [part for part in PurePosixPath(path.replace('\\', '/')).parts if part not in ('/', '.', '..')]
    yield from (base.joinpath(*parts[start:]) for base in bases for start in range(len(parts)))


def _names_of(source: Path, names: Mapping[Path, dict[int, str]]) -> dict[int, str]:
    """The names, by their files, that are those of a text file: of the closest folder above it, or else of any.

    Raises:
        DataError: If several files are as close, and differ.
    """
    above = [path for path in names if path.parent in source.parents]
    deepest = max((len(path.parts) for path in above), default=0)
    close = [path for path in above if len(path.parts) == deepest] or list(names)
    other = next((path for path in close if names[path] != names[close[0]]), None)
    if other is not None:
        raise DataError(f'{source}: {close[0]} and {other} have other names for its classes; keep one of them', 'yolo')
    return names[close[0]]


def _read_lines(path: Path, names: dict[int, str]) -> list[Outline]:
    outlines = []
    for line, text in enumerate(read_text(str(path)).splitlines(), start=1):
        if not text.strip():
            continue
        try:
            label, *corners = (float(word) for word in text.split())
        except ValueError:
            label, corners = -1.0, []
        where = f'{path}, line {line}'
        if len(corners) == 4:
            raise DataError(f'{where}: a box is not a mask; export polygons (YOLO-seg)', 'yolo')
        if len(corners) < 6 or len(corners) % 2 or not np.abs(corners).max() < _FURTHEST:
            raise DataError(f'{where}: not a class and a polygon in shares of the size of the picture', 'yolo')
        if label not in names:
            raise DataError(f'{where}: no name for class {label:g}; there are {names}', 'yolo')
        kind, name = parse_label(names[int(label)])
        outlines.append(Outline(kind, name, partial(_draw, np.reshape(corners, (-1, 2)))))
    return outlines


def _draw(shares: np.ndarray, height: int, width: int) -> np.ndarray:
    # A hole is joined to the outline by a bridge of no width, which the rule of COCO leaves open.
    return polygon_mask([shares * (width, height)], height, width)
