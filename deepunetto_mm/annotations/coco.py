"""COCO: a JSON file of all pictures, with polygons and run-length codes."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from deepunetto_mm.datasets.coco_files import CocoFile, read_coco
from deepunetto_mm.ops import run_length_code
from deepunetto_mm.utils.errors import DataError

from .scenes import Annotations, Outline, Scene, is_picture, parse_label, split_of

WHAT = "annotation files of COCO's format"
_NO_PARENT = ('', 'none', 'null')


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there is an annotation file of COCO's."""
    return any(_is_coco(path) for path in files)


def _is_coco(path: Path) -> bool:
    if path.suffix.lower() != '.json':
        return False
    # The lists may be in any order, and long.
    with path.open('rb') as file:
        head = file.read(2**16)
        file.seek(max(0, path.stat().st_size - 2**16))
        text = head + file.read()
    if b'"shapes"' in text:
        return False
    return sum(key in text for key in (b'"images"', b'"categories"', b'"annotations"')) >= 2 or b'"image_id"' in head


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read all annotation files of a folder; a file's name or folder may say its split."""
    found = Annotations()
    pictures = [path for path in files if is_picture(path)]
    places = {path.relative_to(root).as_posix(): path for path in pictures}
    by_file: dict[str, list[Path]] = {}
    for path in pictures:
        by_file.setdefault(path.name, []).append(path)
    sources = [path for path in files if _is_coco(path)]
    for source in sources:
        coco = read_coco(str(source), problems=found.problems)
        if coco.map_names is not None:
            found.problems.append(
                DataError(f'{source}: a panoptic file; give the file of instances', 'COCO annotation')
            )
            continue
        split = _split_of_file(source.relative_to(root)) if len(sources) > 1 else ''
        prefix = f'{source.stem}/' if len(sources) > 1 and not split else ''
        labels = _labels(coco)
        for image in coco.images:
            name = image['file_name'].replace('\\', '/')
            near = [path for path in by_file.get(Path(name).name, []) if split in ('', split_of(path.parts)[0])]
            picture = places.get(name) or next(iter(near or by_file.get(Path(name).name, [])), None)
            if picture is None:
                message = f'{source}: its picture {name!r} is not in {root}; copy it there, or remove its entry'
                found.problems.append(DataError(message, 'missing file'))
                continue
            size = image['height'], image['width']
            scene = Scene(prefix + Path(name).with_suffix('').as_posix(), picture, source, split, size)
            for item in coco.annotations_of(image['id']):
                kind, fine = labels[item['category_id']]
                if item.get('iscrowd') or item.get('ignore'):
                    kind, fine = 'ignore', ''
                draw = partial(_draw, item['segmentation'], size)
                attributes = {
                    key: str(value)
                    for key, value in (item.get('attributes') or {}).items()
                    if not isinstance(value, bool) and str(value).strip()
                }
                scene.outlines.append(Outline(kind, fine, draw, attributes))
            found.scenes.append(scene)
    return found


def _labels(coco: CocoFile) -> dict[int, tuple[str, str]]:
    """Kind and name by category: supercategory and category, or what the category's name says."""
    labels = {}
    parents = [category.get('supercategory') for category in coco.categories]
    for category, parent in zip(coco.categories, parents):
        name = category['name']
        real = isinstance(parent, str) and parent.strip().lower() not in _NO_PARENT and parent != name
        labels[category['id']] = (str(parent).strip(), name) if real else parse_label(name)
    return labels


def _split_of_file(path: Path) -> str:
    words = re.split(r'[^a-z]+', path.with_suffix('').as_posix().lower())
    return split_of(words)[0]


def _draw(segmentation: Any, size: tuple[int, int], height: int, width: int) -> np.ndarray:
    return coco_mask.decode(run_length_code(segmentation, *size)).astype(bool)
