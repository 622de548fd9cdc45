"""COCO: a JSON file of all pictures, with polygons and run-length codes."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from deepunetto_mm.datasets.coco_files import CocoFile, read_coco
from deepunetto_mm.ops import run_length_code
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import write_whole

from .pictures import by_file_name, find_picture
from .scenes import IGNORED, Annotations, DrawnPicture, Outline, Scene, parse_label, split_of

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
    """Read all annotation files of a folder; a file's name or folder may say its split, or else a picture's folder."""
    found, pictures = Annotations(), by_file_name(files)
    sources = [path for path in files if _is_coco(path)]
    others = [path for path in sources if not path.name.startswith('instances')]
    if len(others) < len(sources) and others:  # captions, keypoints and stuff of the same pictures
        sources = [path for path in sources if path not in others]
        shown = ', '.join(path.name for path in others[:4])
        found.notes.append(f'of the JSON files only those called instances... are read, and not {shown}')
    splits = [_split_of_file(source.relative_to(root)) if len(sources) > 1 else '' for source in sources]
    for source, split in zip(sources, splits):
        coco = read_coco(str(source), problems=found.problems)
        if coco.map_names is not None:
            found.problems.append(
                DataError(f'{source}: a panoptic file; give the file of instances', 'COCO annotation')
            )
            continue
        # Files of one split, or of none, may have pictures of equal names.
        is_alone = len(sources) == 1 or (split and splits.count(split) == 1)
        prefix = '' if is_alone else source.relative_to(root).with_suffix('').as_posix() + '/'
        labels, are_ignored = _labels(coco), list[bool]()
        # An object without a mask would be background.
        for image in [image for image in coco.images if image['id'] not in coco.incomplete]:
            name = image['file_name'].replace('\\', '/')
            try:
                picture = find_picture(root, pictures, source, name, split)
            except DataError as error:
                found.problems.append(error)
                continue
            size = image['height'], image['width']
            own = split or split_of(picture.relative_to(root).parts[:-1])[0]
            scene = Scene(prefix + _without_split(name, own), picture, source, own, size)
            for item in coco.annotations_of(image['id']):
                are_ignored.append(bool(item.get('iscrowd') or item.get('ignore')))
                kind, fine = (IGNORED, '') if are_ignored[-1] else labels[item['category_id']]
                draw = partial(_draw, item['segmentation'], size)
                attributes = {
                    key: str(value)
                    for key, value in (item.get('attributes') or {}).items()
                    if not isinstance(value, bool) and str(value).strip()
                }
                scene.outlines.append(Outline(kind, fine, draw, attributes))
            found.scenes.append(scene)
        if any(are_ignored):
            found.notes.append(
                f'{source}: {sum(are_ignored)} of {len(are_ignored)} annotations have iscrowd=1 or ignore=1 and are '
                'ignored: their pixels count for nothing, and they are not objects; if they are, as of tools with a '
                'brush (CVAT), set both to 0 in the file'
            )
    return found


def write(pictures: Sequence[DrawnPicture], root: Path) -> None:
    """Write a JSON file for each split, with run-length codes; kinds are supercategories."""
    used = {item.label: item for picture in pictures for item in picture.objects}
    numbers = {label: number for number, label in enumerate(sorted(used), start=1)}
    categories: list[dict[str, Any]] = []
    for label, number in numbers.items():
        kind, name = used[label].kind, used[label].name
        # A supercategory of the category's own name would say nothing.
        own = dict(name=name, supercategory=kind) if name not in ('', kind) else dict(name=label)
        categories.append(dict(id=number, **own))
    twice = [name for name, count in Counter(category['name'] for category in categories).items() if count > 1]
    if twice:
        raise DataError(f'{twice[0]!r} is a kind and a name of another kind, which COCO cannot have; rename one')
    for split in sorted({picture.split for picture in pictures}):
        content: dict[str, list[dict[str, Any]]] = dict(images=[], annotations=[], categories=categories)
        for picture in [picture for picture in pictures if picture.split == split]:
            image_id = len(content['images']) + 1
            name = picture.file.relative_to(root / 'images' / split).as_posix()
            content['images'].append(dict(id=image_id, file_name=name, width=picture.width, height=picture.height))
            for item in picture.objects:
                content['annotations'].append(
                    dict(
                        id=len(content['annotations']) + 1,
                        image_id=image_id,
                        category_id=numbers[item.label],
                        segmentation=dict(size=[picture.height, picture.width], counts=item.code['counts']),
                        area=int(coco_mask.area(item.code)),
                        bbox=coco_mask.toBbox(item.code).tolist(),
                        iscrowd=int(item.is_ignored),
                    )
                )
        path = root / 'annotations' / f'instances{split and "_"}{split}.json'
        write_whole(path, json.dumps(content, ensure_ascii=False).encode())


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


def _without_split(name: str, split: str) -> str:
    """The name of a scene by that of its file: without suffix, and without a folder that says its split."""
    path = Path(name).with_suffix('')
    said, folders = split_of(path.parts[:-1])
    return '/'.join([*folders, path.name]) if said == split else path.as_posix()


def _draw(segmentation: Any, size: tuple[int, int], height: int, width: int) -> np.ndarray:
    return coco_mask.decode(run_length_code(segmentation, *size)).astype(bool)
