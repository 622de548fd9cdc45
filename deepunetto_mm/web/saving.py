"""Corrected predictions as files."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import cv2
import numpy as np

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError

from .gallery import Picture

Files = Iterator[tuple[str, bytes]]
_LARGEST_ID = 2**16 - 1
_COLUMNS = ('picture', 'region', 'group', 'fine_class', 'fine_score', 'predicted', 'area', 'x1', 'y1', 'x2', 'y2')


class Download(NamedTuple):
    """A file for a person: its name, media type and content."""

    name: str
    media_type: str
    content: bytes


def save(kind: str, pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """Write the regions that were not dropped, with their corrected names.

    Args:
        kind: A key of :data:`KINDS`.
        pictures: What to save.
        taxonomy: Of the model.

    Raises:
        KeyError: If the kind is unknown.
        DataError: If there is no picture; if a picture has more regions than a map of the training data can have.
    """
    if kind not in KINDS:
        raise KeyError(f'{kind!r} is not a format of this page; it has {", ".join(KINDS)}')
    if not pictures:
        raise DataError('there is no picture to save; add one first')
    return KINDS[kind](pictures, taxonomy)


def save_json(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """What :class:`~deepunetto_mm.apis.DeepUNettoInferencer` returns; ``predicted`` is the name before a correction."""
    content = [
        dict(
            picture=picture.name,
            width=picture.width,
            height=picture.height,
            regions=picture.kept(taxonomy),
        )
        for picture in pictures
    ]
    return Download('predictions.json', 'application/json', _json(content))


def save_csv(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """A row for each region."""
    rows = []
    for picture in pictures:
        for region in picture.kept(taxonomy):
            row = dict(region, picture=_cell(picture.name), region=region['id'])
            rows.append([*(row[key] for key in _COLUMNS[:7]), *region['bbox']])
    return Download('regions.csv', 'text/csv; charset=utf-8', _csv(_COLUMNS, rows))


def save_training(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """The layout of docs/data_format.md: pictures, masks, region maps, ``labels.csv`` and ``taxonomy.json``."""

    def files() -> Files:
        rows = []
        for picture in pictures:
            kept = picture.kept(taxonomy)
            if max((region['id'] for region in kept), default=0) > _LARGEST_ID:
                raise DataError(f'{picture.name} has region ids above {_LARGEST_ID}, which training data cannot have')
            mask, region_map = _maps(picture, kept, taxonomy)
            yield f'images/{picture.stem}.png', picture.png
            yield f'masks/{picture.stem}.png', _png(mask)
            yield f'regions/{picture.stem}.png', _png(region_map)
            rows += [(picture.stem, region['id'], region['fine_class']) for region in kept]
        yield 'labels.csv', _csv(('image', 'region', 'fine_class'), rows)
        yield 'taxonomy.json', _json(taxonomy.to_dict())

    return _zip('training_data.zip', files())


def save_coco(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """COCO's instances as run-length codes: groups are supercategories, fine classes are categories."""
    names = taxonomy.fine_classes
    groups = [taxonomy.groups[group].name for group in taxonomy.group_of_fine]
    images: list[dict] = []
    annotations: list[dict] = []
    for picture in pictures:
        images.append(dict(id=picture.id, file_name=f'{picture.stem}.png', width=picture.width, height=picture.height))
        for region in picture.kept(taxonomy):
            x1, y1, x2, y2 = region['bbox']
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=picture.id,
                    category_id=names.index(region['fine_class']) + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=region['area'],
                    iscrowd=0,
                    segmentation=region['mask'],
                )
            )
    categories = [
        dict(id=index, name=name, supercategory=group) for index, (name, group) in enumerate(zip(names, groups), 1)
    ]
    content = dict(images=images, annotations=annotations, categories=categories)

    def files() -> Files:
        yield 'annotations.json', _json(content)
        for picture in pictures:
            yield f'images/{picture.stem}.png', picture.png

    return _zip('coco.zip', files())


def save_labelme(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """A JSON file beside each picture, with masks, which keep holes; labels are ``group/fine class``."""

    def files() -> Files:
        for picture in pictures:
            shapes: list[dict] = []
            for region in picture.kept(taxonomy):
                x1, y1, x2, y2 = map(int, region['bbox'])
                inside = picture.region_map[y1:y2, x1:x2] == region['id']
                shapes.append(
                    dict(
                        label=f'{region["group"]}/{region["fine_class"]}',
                        points=[[x1, y1], [x2 - 1, y2 - 1]],  # both are pixels of the mask
                        group_id=None,
                        description='',
                        shape_type='mask',
                        flags={},
                        mask=base64.b64encode(_png(inside * np.uint8(255))).decode(),
                    )
                )
            content: dict[str, Any] = dict(version='5.5.0', flags={}, shapes=shapes)
            content.update(imagePath=f'{picture.stem}.png', imageData=None)
            content.update(imageHeight=picture.height, imageWidth=picture.width)
            yield f'{picture.stem}.json', _json(content)
            yield f'{picture.stem}.png', picture.png

    return _zip('labelme.zip', files())


KINDS: dict[str, Callable[[Sequence[Picture], Taxonomy], Download]] = dict(
    training=save_training, coco=save_coco, labelme=save_labelme, json=save_json, csv=save_csv
)


def _maps(picture: Picture, kept: Sequence[dict[str, Any]], taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """A mask (H, W) uint8 or uint16 and a region map (H, W) uint16, in which only these regions are objects.

    Pixels of a group outside of them, such as those of dropped regions, become the taxonomy's stuff, or are ignored if
    there are several classes of it. In a region whose corrected name is of another group, its class is the one that
    the name implies, or it is ignored.
    """
    group_of_class = np.asarray(taxonomy.group_of_class)
    stuff = np.flatnonzero(group_of_class < 0)
    nothing = stuff[0] if len(stuff) == 1 else taxonomy.ignore_index
    implied = dict(zip(taxonomy.fine_classes, np.asarray(taxonomy.class_of_composed)[list(taxonomy.composed_of_fine)]))
    group_of_name = dict(zip(taxonomy.fine_classes, taxonomy.group_of_fine))

    size = int(picture.region_map.max(initial=0)) + 1
    is_kept, group_of_id = np.zeros(size, bool), np.full(size, -1)
    class_of_id = np.full(size, nothing)
    for region in kept:
        name, number = region['fine_class'], region['id']
        is_kept[number], group_of_id[number] = True, group_of_name[name]
        class_of_id[number] = implied[name] if implied[name] >= 0 else taxonomy.ignore_index
    region_map = np.where(is_kept[picture.region_map], picture.region_map, 0)
    labels = picture.labels.astype(np.int64)
    group = group_of_class[labels]
    fits = np.where(region_map > 0, group == group_of_id[region_map], group < 0)
    mask = np.where(fits, labels, class_of_id[region_map])
    wide = taxonomy.ignore_index > np.iinfo(np.uint8).max
    return mask.astype(np.uint16 if wide else np.uint8), region_map.astype(np.uint16)


def _png(values: np.ndarray) -> bytes:
    return cv2.imencode('.png', values)[1].tobytes()


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """A file's name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ('=', '+', '-', '@') else text


def _zip(name: str, files: Files) -> Download:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for path, data in files:
            archive.writestr(path, data)
    return Download(name, 'application/zip', content.getvalue())
