"""Corrected predictions as files."""

import io
import json
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from deepunetto_mm.annotations import TOOLS
from deepunetto_mm.annotations.scenes import DrawnObject, DrawnPicture, parse_label
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import csv_bytes, write_png, write_whole

from .gallery import Picture

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
        kind: ``'json'``, ``'csv'``; ``'training'``, our layout, or one of
            :data:`~deepunetto_mm.annotations.TOOLS`, in a zip with the pictures.
        pictures: What to save.
        taxonomy: Of the model.

    Raises:
        KeyError: If the kind is unknown.
        DataError: If there is no picture; if the format cannot have these names or this number of regions.
    """
    if kind not in KINDS:
        raise KeyError(f'{kind!r} is not a format of this page; it has {", ".join(KINDS)}')
    if not pictures:
        raise DataError('there is no picture to save; add one first')
    return KINDS[kind](pictures, taxonomy)


def save_json(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """What :class:`~deepunetto_mm.apis.DeepUNettoInferencer` returns; ``predicted`` is the name before a correction."""
    content = [
        dict(picture=picture.name, width=picture.width, height=picture.height, regions=picture.kept(taxonomy))
        for picture in pictures
    ]
    return Download('predictions.json', 'application/json', _json(content))


def save_csv(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """A row for each region."""
    rows = []
    for picture in pictures:
        for region in picture.kept(taxonomy):
            row = dict(region, picture=picture.name, region=region['id'])
            rows.append([*(_cell(row[key]) for key in _COLUMNS[:7]), *region['bbox']])
    return Download('regions.csv', 'text/csv; charset=utf-8', csv_bytes(_COLUMNS, rows))


def save_training(pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """The layout of docs/data_format.md: pictures, masks, region maps, ``labels.csv`` and ``taxonomy.json``."""

    def write(root: Path) -> None:
        rows = []
        for picture in pictures:
            kept = picture.kept(taxonomy)
            if max((region['id'] for region in kept), default=0) > _LARGEST_ID:
                raise DataError(f'{picture.name} has region ids above {_LARGEST_ID}, which training data cannot have')
            mask, region_map = _maps(picture, kept, taxonomy)
            write_whole(root / 'images' / f'{picture.stem}.png', picture.png)
            write_png(root / 'masks' / f'{picture.stem}.png', mask)
            write_png(root / 'regions' / f'{picture.stem}.png', region_map)
            rows += [(picture.stem, region['id'], region['fine_class']) for region in kept]
        write_whole(root / 'labels.csv', csv_bytes(('image', 'region', 'fine_class'), rows))
        write_whole(root / 'taxonomy.json', _json(taxonomy.to_dict()))

    return _zip('training_data.zip', write)


def save_for_tool(tool: str, pictures: Sequence[Picture], taxonomy: Taxonomy) -> Download:
    """Pictures and objects for an annotation tool; labels are ``group/fine class``."""

    def write(root: Path) -> None:
        drawn = []
        for picture in pictures:
            file = (root if tool == 'labelme' else root / 'images') / f'{picture.stem}.png'
            write_whole(file, picture.png)
            objects = [_object(region) for region in picture.kept(taxonomy)]
            drawn.append(DrawnPicture(picture.stem, '', file, picture.height, picture.width, objects))
        TOOLS[tool].write(drawn, root)

    return _zip(f'{tool}.zip', write)


KINDS: dict[str, Callable[[Sequence[Picture], Taxonomy], Download]] = {
    'training': save_training,
    **{tool: partial(save_for_tool, tool) for tool in TOOLS},
    'json': save_json,
    'csv': save_csv,
}


def _object(region: dict[str, Any]) -> DrawnObject:
    kind, name = region['group'], region['fine_class']
    label = f'{kind}/{name}'
    if parse_label(label) != (kind, name):
        raise DataError(f'{label!r} would be read as {parse_label(label)}; this taxonomy can be saved as training data')
    return DrawnObject(label, kind, name, region['mask'])


def _maps(picture: Picture, kept: Sequence[dict[str, Any]], taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """A mask (H, W) uint8 or uint16 and a region map (H, W) uint16, in which only these regions are objects.

    Other regions are ignored. In a region whose corrected name is of another group, its class is the one that the name
    implies, or it is ignored.
    """
    implied = dict(zip(taxonomy.fine_classes, taxonomy.class_of_fine))
    ids = picture.region_map
    size = int(ids.max(initial=0)) + 1
    is_kept, group_of_id, class_of_id = np.zeros(size, bool), np.full(size, -1), np.full(size, -1)
    for region in kept:
        name, number = region['fine_class'], region['id']
        is_kept[number], group_of_id[number] = True, taxonomy.group_of_fine[taxonomy.fine_index(name)]
        class_of_id[number] = implied[name]
    labels = picture.labels.astype(np.int64)
    fits = (ids == 0) | (np.asarray(taxonomy.group_of_class)[labels] == group_of_id[ids])
    mask = np.where(fits, labels, class_of_id[ids])
    mask[mask < 0] = taxonomy.ignore_index
    wide = taxonomy.ignore_index > np.iinfo(np.uint8).max
    return mask.astype(np.uint16 if wide else np.uint8), np.where(is_kept[ids], ids, 0).astype(np.uint16)


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _cell(value: Any) -> Any:
    """A value; no spreadsheet takes the name of a file or a class for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(('=', '+', '-', '@', '\t', '\r')) else value


def _zip(name: str, write: Callable[[Path], None]) -> Download:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(content, 'w') as archive:
        write(Path(folder))
        for path in sorted(Path(folder).rglob('*')):  # as they are: pictures are compressed already
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return Download(name, 'application/zip', content.getvalue())
