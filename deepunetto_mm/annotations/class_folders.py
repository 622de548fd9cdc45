"""Pictures sorted by class, without masks: masks are made from brightness."""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Iterable, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.threshold_masks.labelled_pictures import read_classes
from deepunetto_mm.threshold_masks.thresholding import ThresholdMask, ThresholdOptions, threshold_mask
from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.picture_files import read_picture

from .folders import is_of_pictures
from .name_tables import read_name_tables, split_of_row
from .pictures import have_few_colours, is_picture
from .scenes import Annotations, Outline, Scene, split_of

WHAT = 'a folder a class, without masks'
_SAMPLE = 24
_POOR = 0.6
# Those that were best on some data: docs/threshold_masks.md.
_CANDIDATES = (
    ThresholdOptions(keep_largest=True),
    ThresholdOptions(keep_largest=True, channel='saturation'),
    ThresholdOptions(keep_largest=True, method='adaptive'),
    ThresholdOptions(keep_largest=True, method='adaptive', channel='blue'),
)


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there are pictures in folders of classes, or tables of pictures."""
    own = _by_folder(root, files)
    if own and read_name_tables(root, []):
        return True
    depth = _depth(own) if own else 0
    return () not in own and len({folder[depth] for folder in own}) > 1 and not why_not(root, files)


def why_not(root: Path, files: Sequence[Path]) -> str:
    """Why folders are no classes, for an error; empty if they may be."""
    own = _by_folder(root, files)
    if any(is_of_pictures(part) for folder in own for part in folder[_depth(own) :][:1]):
        return 'pictures are in folders that are called after pictures, and not after classes'
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
    return max(0, min(shared, *(len(folder) - 1 for folder in own)))


def _by_folder(root: Path, files: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    own: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        if is_picture(path):
            own.setdefault(split_of(path.relative_to(root).parts[:-1])[1], []).append(path)
    return own


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read the names of the folders, or the tables; ``classes.csv`` may assign fine classes to kinds."""
    found = Annotations()
    pictures = sorted(path for path in files if is_picture(path))
    kinds, ids = _read_kinds(root)
    by_tables = bool(read_name_tables(root, []))
    named = _named_by_tables(root, pictures, ids, found) if by_tables else _named_by_folders(root, pictures, found)
    options = _best_options([path for path, _, _ in named], found)
    found.whole = options is None
    for path, fine, split in named:
        own, folders = split_of(path.relative_to(root).parts[:-1])
        scene = Scene('/'.join([*folders, path.stem]), path, path, split or own)
        kind = kinds.get(fine, 'object')
        scene.outlines = [Outline(kind, fine, _whole if options is None else partial(_draw, path, options))]
        found.scenes.append(scene)
    return found


def _read_kinds(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Kind by fine class, and fine class by id."""
    path = root / 'classes.csv'
    if not path.is_file():
        return {}, {}
    taxonomy, ids = read_classes(str(path))
    return {fine: group.name for group in taxonomy.groups for fine in group.fine_classes}, ids


def _named_by_folders(root: Path, pictures: Sequence[Path], found: Annotations) -> list[tuple[Path, str, str]]:
    named = []
    depth = _depth(_by_folder(root, pictures))
    for path in pictures:
        split, folders = split_of(path.relative_to(root).parts[:-1])
        if folders:
            named.append((path, folders[depth], split))
        else:
            message = f'{path}: this picture is in no folder of a class; move it to one'
            found.problems.append(DataError(message, 'fine label'))
    return named


def _named_by_tables(
    root: Path, pictures: Sequence[Path], ids: dict[str, str], found: Annotations
) -> list[tuple[Path, str, str]]:
    by_name: dict[str, Path] = {}
    for path in pictures:
        parts = path.relative_to(root).parts
        for start in range(len(parts)):
            name = '/'.join(parts[start:])
            by_name.setdefault(name, path)
            by_name.setdefault(name[: -len(path.suffix)], path)
    named, tables = [], read_name_tables(root, found.notes)
    for table, rows in tables:
        for line, row in rows:
            where = f'{table}, line {line}'
            found_path = by_name.get(row['image'].replace('\\', '/'))
            fine: Optional[str] = row['fine_class'] if 'fine_class' in row else ids.get(row['fine_id'])
            if found_path is None or not fine:
                what = (
                    f'no picture {row["image"]!r}{suggest(row["image"], by_name)}'
                    if found_path is None
                    else 'no fine class'
                )
                found.problems.append(DataError(f'{where}: {what}; fix the row', 'fine label'))
                continue
            try:
                split = split_of_row(where, row) or (split_of([table.stem])[0] if len(tables) > 1 else '')
            except DataError as error:
                found.problems.append(error)
                continue
            named.append((found_path, fine, split))
    return named


def _best_options(paths: Sequence[Path], found: Annotations) -> Optional[ThresholdOptions]:
    """The options with the best median score on a sample of the pictures; None if all are poor."""
    sample = list(paths)[:: max(1, len(paths) // _SAMPLE)]
    scores = []
    for options in _CANDIDATES:
        own = []
        for path in sample:
            try:
                own.append(_threshold(path, options).score)
            except DataError:
                continue  # it is reported when its scene is drawn
        scores.append(float(np.median(own)) if own else 0.0)
    best = int(np.argmax(scores))
    options = _CANDIDATES[best]
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
    return _threshold(path, options).mask > 0
