"""What a folder holds, found by looking at its files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Sequence

from deepunetto_mm.utils.errors import DataError, UsageError

from . import class_folders, coco, cvat, folders, labelme, object_masks, predictions, yolo
from .name_tables import OTHER_TABLES, is_table
from .pictures import is_picture
from .scenes import Annotations

# In this order: pictures with a mask each may also lie in folders.
FORMATS: dict[str, ModuleType] = dict(
    predictions=predictions,
    labelme=labelme,
    coco=coco,
    cvat=cvat,
    yolo=yolo,
    object_masks=object_masks,
    folders=folders,
    class_folders=class_folders,
)
_WITH_TABLES = ('folders', 'class_folders')

# What other tools write, by what is in the first bytes of a text, and by the suffix.
_FOREIGN_TEXTS = {
    rb'"shape_attributes"': "JSON of the VGG Image Annotator: export COCO's format",
    rb'"classTitle"|"classId"': "JSON of Supervisely: export COCO's format, or masks",
    rb'"(polygon|brush|ellipse|rectangle)labels"': "Label Studio's own JSON: export COCO's format, or YOLO with images",
    rb'"ISAT"': "ISAT's own JSON: export COCO's format",
    rb'"FeatureCollection"': 'GeoJSON, as of QuPath: export masks, PNG files with the names of the pictures',
    rb'"imgHeight"': 'polygons of Cityscapes: docs/cityscapes.md has configs for it',
    rb'EncodedPixels|(?i:^[^\n]*\brle\b)': 'run lengths: draw them as masks, PNG files with the names of the pictures',
    rb'<bndbox>': 'boxes of Pascal VOC, which are no masks',
    rb'^\s*\d+( [0-9.]+){6,}\s*(\n|$)': 'polygons of YOLO-seg, without a data.yaml or classes.txt of their names',
    rb'^\s*\d+( [0-9.]+){4}\s*(\n|$)': 'boxes of YOLO, which are no masks: export polygons (YOLO-seg)',
}
_SHEETS = ('.xlsx', '.xls', '.ods', '.tsv')
_FOREIGN_SUFFIXES = {
    ('.npy', '.npz', '.mat', '.h5', '.nii', '.gz', '.dcm', '.nrrd', '.mha'): 'an array: write PNG or TIFF files',
    ('.zip', '.tar', '.7z', '.rar'): 'an archive: unpack it',
    _SHEETS: 'a spreadsheet: save it as CSV, with the columns image and fine_class',
    ('.heic', '.heif', '.avif', '.cr2', '.cr3', '.nef', '.arw', '.dng'): 'a photograph of a camera: write PNG or JPEG',
    ('.mp4', '.avi', '.mov', '.mkv'): 'a film: write its pictures as PNG or JPEG',
}


def _foreign(root: Path, files: Sequence[Path]) -> str:
    """What is known and cannot be read, with a way out; empty if nothing is."""
    for path in [path for path in files if path.suffix.lower() in ('.json', '.geojson', '.csv', '.xml', '.txt')][:50]:
        with path.open('rb') as file:
            head = file.read(2**14)
        for pattern, what in _FOREIGN_TEXTS.items():
            if re.search(pattern, head):
                return f'{path} is {what}'
    tables = sorted(filter(is_table, files), key=lambda path: path.parent != root)
    if tables and tables[0].parent != root:
        return f'{tables[0]} is a table of a folder below: write one, with the column split perhaps, in {root}'
    if tables:
        return f'{tables[0]} has not the columns image and fine_class, or others that mean these'
    for suffixes, what in _FOREIGN_SUFFIXES.items():
        first = next((path for path in files if path.suffix.lower() in suffixes), None)
        if first is not None:
            return f'{first} is {what}'
    return ''


def _is_unread_table(root: Path, path: Path, form: str) -> bool:
    is_read = form in _WITH_TABLES and (path.parent == root or path.name in OTHER_TABLES)
    return (is_table(path) and not is_read) or path.suffix.lower() in _SHEETS


def _too_little(files: Sequence[Path]) -> str:
    """What is missing where nothing is wrong; empty if there is something else."""
    if files and all(map(is_picture, files)):
        return 'pictures alone: annotate some, with Labelme for example, or sort them into a folder for each class'
    return '' if files else 'the folder is empty'


def read_annotations(root: str, form: Optional[str] = None, masks_are: Optional[str] = None) -> tuple[str, Annotations]:
    """Read a folder of pictures and annotations.

    Args:
        root: The folder.
        form: One of :data:`FORMATS`; None to find out.
        masks_are: ``'classes'`` or ``'ids'``, of folders of masks; None to find out.

    Returns:
        The format, and the pictures.

    Raises:
        DataError: If there is no such folder, or nothing that can be read.
        UsageError: If ``masks_are`` is given for another format.
    """
    folder = Path(root).resolve()
    if not folder.is_dir():
        raise DataError(f'{root}: no such folder; give the folder of pictures and annotations')
    files = sorted(Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names)
    files = [path for path in files if not any(part[0] == '.' for part in path.relative_to(folder).parts)]
    if form is None:
        form = next((name for name, reader in FORMATS.items() if reader.recognises(folder, files)), None)
    if form is None:
        kinds = sorted({path.suffix for path in files})
        reason = _foreign(folder, files) or folders.why_not(folder, files) or class_folders.why_not(folder, files)
        reason = reason or _too_little(files)
        known = '; '.join(str(reader.WHAT) for reader in FORMATS.values())
        raise DataError(
            f'{root}: {len(files)} files ({", ".join(kinds) or "none"}), and no annotations that are known: '
            + (f'{reason}; docs/plan.md lists what is read' if reason else known)
        )
    if masks_are is not None and form != 'folders':
        raise UsageError(
            f'--masks-are {masks_are} is for folders of pictures and masks, and {root} is read as {form!r} '
            f'({FORMATS[form].WHAT}): leave it out, or give --format folders'
        )
    options: dict[str, Any] = dict(masks_are=masks_are) if form == 'folders' else {}
    found: Annotations = FORMATS[form].read(folder, files, **options)
    unread = [path for path in files if _is_unread_table(folder, path, form)]
    if unread:
        where = f'CSV files in {folder} itself' if form in _WITH_TABLES else f'the annotations themselves ({form})'
        found.notes.append(f'{len(unread)} tables are not read, such as {unread[0]}: names are in {where}')
    if not found.scenes:
        first = f': {found.problems[0]}' if found.problems else ''
        raise DataError(f'{root}: {FORMATS[form].WHAT}, but no picture with an annotation{first}')
    return form, found
