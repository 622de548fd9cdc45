"""COCO's annotation files: read, checked, and their categories as a taxonomy."""

import reprlib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from mmengine import fileio

from deepunetto_mm.ops import check_segmentation, restore_numbers
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_json

_TOGETHER = 50  # annotations in one message
_NO_PARENT = ('', 'none', 'null')  # what export tools write where there is no supercategory
_IMAGE_KEYS = dict(id=int, file_name=str, height=int, width=int)


@dataclass(frozen=True)
class CocoFile:
    """The content of an annotation file.

    Attributes:
        path: The file.
        images: Dicts of at least ``id``, ``file_name``, ``height`` and ``width``; no two have the same id.
        categories: Dicts of at least ``id`` and ``name``; no two have the same of either.
        annotations: By image id, the annotations or panoptic segments: dicts of at least ``id`` and ``category_id``,
            optionally ``iscrowd``, and ``segmentation`` for annotations. None if the file has none, for prediction
            only.
        map_names: By image id, the file name of the panoptic map; None if the file is not panoptic.
        incomplete: Ids of images of which annotations were left out, because they cannot be used.
    """

    path: str
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: Optional[dict[int, list[dict[str, Any]]]]
    map_names: Optional[dict[int, str]]
    incomplete: frozenset[int] = frozenset()

    @property
    def category_names(self) -> dict[int, str]:
        """Name by id."""
        return {category['id']: category['name'] for category in self.categories}

    def annotations_of(self, image_id: int) -> list[dict[str, Any]]:
        """Annotations of an image; empty for a file without annotations."""
        return (self.annotations or {}).get(image_id, [])

    @property
    def placeholders(self) -> list[str]:
        """Categories without annotations that only mark a supercategory, such as the root in Roboflow's exports."""
        used = {item['category_id'] for items in (self.annotations or {}).values() for item in items}
        parents = [category.get('supercategory') for category in self.categories if not _is_own_parent(category)]
        return [
            category['name']
            for category in self.categories
            if category['name'] in parents and not _is_own_parent(category) and category['id'] not in used
        ]

    def taxonomy(self, background: Optional[str] = 'background', ignored: Sequence[str] = ()) -> Taxonomy:
        """The taxonomy of the categories.

        Supercategories are groups of one segmentation class, of the same name, and categories their fine classes, all
        in the order of the file. Categories with ``isthing=0``, in panoptic files, are stuff. The
        :attr:`placeholders` are left out.

        Args:
            background: An additional stuff class, the first; a category of that name is not an object. None for none.
            ignored: Categories that are left out.

        Raises:
            DataError: If a category has no supercategory.
            TaxonomyError: If a name is both a stuff class and a fine or generic class.
        """
        stuff = [] if background is None else [background]
        groups: dict[str, list[str]] = {}
        lost, left_out = [], {*ignored, *self.placeholders, background}
        for category in self.categories:
            name, parent = category['name'], category.get('supercategory')
            if name in left_out:
                continue
            if not category.get('isthing', 1):
                stuff.append(name)
            elif not isinstance(parent, str) or parent.strip().lower() in _NO_PARENT:
                lost.append(name)
            else:
                groups.setdefault(parent, []).append(name)
        if lost:
            raise DataError(
                f'{self.path}: the categories {lost[:10]} ({len(lost)} of {len(self.categories)}) have no '
                'supercategory, which is their generic class; add it, list them in ignored, or set '
                'metainfo=dict(taxonomy=...)'
            )
        return Taxonomy.from_dict(
            dict(
                classes=[*stuff, *groups],
                groups=[dict(name=name, members=[name], fine_classes=fine) for name, fine in groups.items()],
            )
        )


def _is_own_parent(category: Mapping[str, Any]) -> bool:
    return category.get('supercategory') == category['name']


def read_coco(path: str, backend_args: Optional[dict] = None, problems: Optional[list[DataError]] = None) -> CocoFile:
    """Read and check an annotation file, of instances or panoptic.

    Args:
        path: JSON file with ``images``, ``categories`` and, unless there are none, ``annotations``.
        backend_args: Options of mmengine's file backends.
        problems: A list that receives errors with all unusable annotations, which are left out. If None, they are
            raised as one error.

    Raises:
        DataError: If the file cannot be read or contradicts itself; the message names the file, the ids and the fix.
    """
    if not fileio.exists(path, backend_args=backend_args):
        raise DataError(f'{path}: no such file; fix data_root or ann_file')
    content = read_json(path, backend_args)
    restore_numbers(content)
    parts = content if isinstance(content, dict) else {}
    images, categories, entries = parts.get('images'), parts.get('categories'), parts.get('annotations')
    if not (isinstance(images, list) and isinstance(categories, list) and isinstance(entries, (list, type(None)))):
        raise DataError(
            f"{path}: not an annotation file of COCO, which has lists 'images', 'categories' and 'annotations'"
            + ('; a list of results is not one' if isinstance(content, list) else '')
        )
    _require_entries(path, 'image', images, _IMAGE_KEYS)
    _require_entries(path, 'category', categories, dict(id=int, name=str))
    for category in categories:  # as the taxonomy's are
        category['name'] = unicodedata.normalize('NFC', category['name'])
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

    panoptic = any(isinstance(entry, dict) and 'segments_info' in entry for entry in entries)
    keys = dict(image_id=int, segments_info=list, file_name=str) if panoptic else dict(id=int, image_id=int)
    _require_entries(path, 'annotation', entries, keys)
    # A segment's id is unique only within its picture, an annotation's in the file.
    _require_distinct(path, 'annotations', 'image_id' if panoptic else 'id', entries)
    by_id = {image['id']: image for image in images}
    known = {category['id'] for category in categories}
    annotations: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in by_id}
    wrong: dict[str, list[str]] = {}  # by reason, the annotations
    incomplete: set[int] = set()
    for entry in entries:
        if entry['image_id'] not in by_id:
            reason = "'images' does not list that image; add the image or remove the annotation"
            wrong.setdefault(reason, []).append(f'annotation {entry.get("id", "")} of image {entry["image_id"]}')
            continue
        for item in entry['segments_info'] if panoptic else [entry]:
            reason = _reason(item, by_id[entry['image_id']], known, panoptic)
            if reason:
                name = reprlib.repr(item.get('id') if isinstance(item, dict) else item)
                what = f'{"segment" if panoptic else "annotation"} {name} of image {entry["image_id"]}'
                wrong.setdefault(reason, []).append(what)
                incomplete.add(entry['image_id'])
            else:
                annotations[entry['image_id']].append(item)
        if panoptic:
            segments = annotations[entry['image_id']]
            _require_distinct(path, f'segments of image {entry["image_id"]}', 'id', segments)
    _report(path, wrong, problems)
    map_names = {entry['image_id']: entry['file_name'] for entry in entries} if panoptic else None
    return CocoFile(path, images, categories, annotations, map_names, frozenset(incomplete))


def _reason(item: Any, image: Mapping[str, Any], known: set[int], panoptic: bool) -> str:
    """Why an annotation or a segment cannot be used, and the fix; '' if it can."""
    if not isinstance(item, dict):
        return 'a dict with id and category_id is needed; write or remove it'
    if not isinstance(item.get('id'), int):
        return 'an id, which is a whole number, is needed; write or remove it'
    category_id = item.get('category_id')
    if not isinstance(category_id, int) or category_id not in known:
        return (
            f'it has the category_id {reprlib.repr(category_id)}, and the ids of categories are {sorted(known)}; '
            'fix one or the other'
        )
    for flag in ('iscrowd', 'ignore'):
        if item.get(flag) not in (None, 0, 1):
            return f'it has {flag}={reprlib.repr(item[flag])}; write 0 or 1'
    if panoptic:
        if not 0 <= item['id'] < 2**24:
            return f'the id is a colour of the map, 0..{2**24 - 1}; write the map and the ids again'
        return ''
    try:
        check_segmentation(item.get('segmentation'), image['height'], image['width'])
    except ValueError as error:
        return f'{error}; fix or remove it'
    return ''


def _report(path: str, wrong: Mapping[str, list[str]], problems: Optional[list[DataError]]) -> None:
    found = [
        f'{", ".join(places[start : start + _TOGETHER])}: {reason}'
        for reason, places in wrong.items()
        for start in range(0, len(places), _TOGETHER)
    ]
    if problems is not None:
        problems += [DataError(f'{path}: {text}', 'COCO annotation') for text in found]
    elif found:
        number = sum(map(len, wrong.values()))
        raise DataError(f'{path}: {f"{number} annotations cannot be used: " * (number > 1)}{". ".join(found)}')


def _require_entries(path: str, what: str, entries: Any, keys: Mapping[str, type]) -> None:
    wrong: dict[str, list[str]] = {}
    for position, entry in enumerate(entries, start=1):
        lacks = [
            f'{key}={reprlib.repr(entry.get(key))}' if isinstance(entry, dict) else reprlib.repr(entry)
            for key, kind in keys.items()
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind) or isinstance(entry.get(key), bool)
        ]
        if lacks:
            wrong.setdefault(f'it has {", ".join(lacks)}', []).append(f'{what} number {position} of the list')
    needed = ', '.join(f'{key} ({kind.__name__})' for key, kind in keys.items())
    _report(path, {f'{reason}; required are {needed}': places for reason, places in wrong.items()}, None)


def _require_distinct(path: str, what: str, key: str, entries: Sequence[Mapping[str, Any]]) -> None:
    twice = [value for value, count in Counter(entry[key] for entry in entries).items() if count > 1]
    if twice:
        shown = ', '.join(map(repr, twice[:10])) + f' and {len(twice) - 10} more' * (len(twice) > 10)
        raise DataError(f'{path}: several {what} have the {key} {shown}; each needs one of its own')
