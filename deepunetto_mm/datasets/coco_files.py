"""COCO's annotation files: read, checked, and their categories as a taxonomy."""

from __future__ import annotations

import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from mmengine import fileio

from deepunetto_mm.ops import check_segmentation
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.text_files import read_json

_IMAGE_KEYS = dict(id=int, file_name=str, height=int, width=int)


@dataclass(frozen=True)
class CocoFile:
    """What an annotation file says.

    Attributes:
        path: The file.
        images: Dicts of at least ``id``, ``file_name``, ``height`` and ``width``; no two have the same id.
        categories: Dicts of at least ``id`` and ``name``; no two have the same of either.
        annotations: By image id, the annotations or panoptic segments: dicts of at least ``id`` and ``category_id``,
            perhaps ``iscrowd``, and of an annotation ``segmentation``. None if the file has none, as those of pictures
            to be predicted on.
        map_names: By image id, the file name of the panoptic map; None if the file is not panoptic.
    """

    path: str
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: Optional[dict[int, list[dict[str, Any]]]]
    map_names: Optional[dict[int, str]]

    @property
    def category_names(self) -> dict[int, str]:
        """Name by id."""
        return {category['id']: category['name'] for category in self.categories}

    def annotations_of(self, image_id: int) -> list[dict[str, Any]]:
        """Annotations of an image; of a file without any, none."""
        return (self.annotations or {}).get(image_id, [])

    def taxonomy(self, background: Optional[str] = 'background', ignored: Sequence[str] = ()) -> Taxonomy:
        """The taxonomy of the categories.

        Supercategories are groups of one segmentation class, of the same name, and categories their fine classes, all
        in the order of the file. Categories with ``isthing=0``, of panoptic files, are stuff.

        Args:
            background: A further stuff class, the first; a category of that name is no object. None for none.
            ignored: Categories that are left out.

        Raises:
            DataError: If a category has no supercategory.
            TaxonomyError: If a name is a stuff class and a fine or generic class at once.
        """
        stuff = [] if background is None else [background]
        groups: dict[str, list[str]] = {}
        lost = []
        for category in self.categories:
            name, parent = category['name'], category.get('supercategory')
            if name in ignored or name == background:
                continue
            if not category.get('isthing', 1):
                stuff.append(name)
            elif not isinstance(parent, str) or not parent.strip():
                lost.append(name)
            else:
                groups.setdefault(parent, []).append(name)
        if lost:
            raise DataError(
                f'{self.path}: the categories {lost[:10]} ({len(lost)} of {len(self.categories)}) have no '
                'supercategory, the generic class that they are kinds of; add it, name them in ignored, or set '
                'metainfo=dict(taxonomy=...)'
            )
        return Taxonomy.from_dict(
            dict(
                classes=[*stuff, *groups],
                groups=[dict(name=name, members=[name], fine_classes=fine) for name, fine in groups.items()],
            )
        )


def read_coco(path: str, backend_args: Optional[dict] = None) -> CocoFile:
    """Read and check an annotation file, of instances or panoptic.

    Args:
        path: JSON file with ``images``, ``categories`` and, unless there are none, ``annotations``.
        backend_args: Of mmengine's file backends.

    Raises:
        DataError: If the file cannot be read or contradicts itself; the message names the file, the id and the fix.
    """
    if not fileio.exists(path, backend_args=backend_args):
        raise DataError(f'{path}: no such file; fix data_root or ann_file')
    content = read_json(path, backend_args)
    parts = content if isinstance(content, dict) else {}
    images, categories, entries = parts.get('images'), parts.get('categories'), parts.get('annotations')
    if not (isinstance(images, list) and isinstance(categories, list) and isinstance(entries, (list, type(None)))):
        raise DataError(
            f"{path}: no annotation file of COCO, which has lists 'images', 'categories' and 'annotations'"
            + ('; a list of results is none' if isinstance(content, list) else '')
        )
    _require_entries(path, 'image', images, _IMAGE_KEYS)
    _require_entries(path, 'category', categories, dict(id=int, name=str))
    for image in images:
        if '://' in image['file_name']:
            raise DataError(
                f'{path}: image {image["id"]} has the file_name {image["file_name"]!r}, an address; download the '
                "pictures, and write their paths in the folder data_prefix['img_path']"
            )
        if min(image['height'], image['width']) < 1:
            raise DataError(
                f'{path}: image {image["id"]} is {image["width"]}x{image["height"]} pixels large; write its true size'
            )
    _require_distinct(path, 'images', 'id', images)
    _require_distinct(path, 'categories', 'id', categories)
    _require_distinct(path, 'categories', 'name', categories)
    if entries is None:
        return CocoFile(path, images, categories, None, None)

    by_id = {image['id']: image for image in images}
    known = {category['id'] for category in categories}
    panoptic = any(isinstance(entry, dict) and 'segments_info' in entry for entry in entries)
    keys = dict(image_id=int, segments_info=list, file_name=str) if panoptic else dict(id=int, image_id=int)
    _require_entries(path, 'annotation', entries, keys)
    # A segment's id is distinct within its picture alone, and an annotation's in the file.
    _require_distinct(path, 'annotations', 'image_id' if panoptic else 'id', entries)
    for entry in entries:
        if entry['image_id'] not in by_id:
            raise DataError(
                f"{path}: an annotation is of the image {entry['image_id']}, which 'images' does not list; add the "
                'image or remove the annotation'
            )
    annotations: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in by_id}
    for entry in entries:
        annotations[entry['image_id']] += entry['segments_info'] if panoptic else [entry]
    for image_id, items in annotations.items():
        for item in items:
            _require_category(path, item, known)
            if panoptic:
                _require_colour(path, item)
            else:
                _require_mask(path, item, by_id[image_id])
        if panoptic:
            _require_distinct(path, f'segments of image {image_id}', 'id', items)
    map_names = {entry['image_id']: entry['file_name'] for entry in entries} if panoptic else None
    return CocoFile(path, images, categories, annotations, map_names)


def _require_entries(path: str, what: str, entries: Any, keys: Mapping[str, type]) -> None:
    for position, entry in enumerate(entries):
        wrong = [
            f'{key}={reprlib.repr(entry.get(key))}' if isinstance(entry, dict) else reprlib.repr(entry)
            for key, kind in keys.items()
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind) or isinstance(entry.get(key), bool)
        ]
        if wrong:
            raise DataError(
                f'{path}: {what} number {position + 1} of the list has {", ".join(wrong)}; needed are '
                + ', '.join(f'{key} ({kind.__name__})' for key, kind in keys.items())
            )


def _require_distinct(path: str, what: str, key: str, entries: Sequence[Mapping[str, Any]]) -> None:
    twice = [value for value, count in Counter(entry[key] for entry in entries).items() if count > 1]
    if twice:
        raise DataError(f'{path}: several {what} have the {key} {twice[0]!r}; each needs one of its own')


def _require_category(path: str, item: Any, known: set[int]) -> None:
    if not isinstance(item, dict):
        raise DataError(f'{path}: a segment is {reprlib.repr(item)}; needed is a dict with id and category_id')
    id_, category_id = item.get('id'), item.get('category_id')
    if not isinstance(id_, int) or not isinstance(category_id, int) or category_id not in known:
        raise DataError(
            f'{path}: annotation {reprlib.repr(id_)} has the category_id {reprlib.repr(category_id)}, and the ids of '
            f'categories are {sorted(known)}; fix one or the other'
        )


def _require_colour(path: str, item: Mapping[str, Any]) -> None:
    if not 0 <= item['id'] < 2**24:
        raise DataError(
            f'{path}: a segment has the id {item["id"]}, and it is a colour of the map: 0..{2**24 - 1}; write the map '
            'and the ids again'
        )


def _require_mask(path: str, item: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    try:
        check_segmentation(item.get('segmentation'), image['height'], image['width'])
    except ValueError as error:
        raise DataError(f'{path}: annotation {item["id"]} of image {image["id"]}: {error}; fix or remove it') from error
