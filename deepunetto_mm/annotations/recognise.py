"""What a folder holds, found by looking at its files."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from deepunetto_mm.utils.errors import DataError

from . import class_folders, coco, cvat, folders, labelme, object_masks, predictions, yolo
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
    """
    folder = Path(root).resolve()
    if not folder.is_dir():
        raise DataError(f'{root}: no such folder; give the folder of pictures and annotations')
    files = sorted(
        Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names if name[0] != '.'
    )
    if form is None:
        form = next((name for name, reader in FORMATS.items() if reader.recognises(folder, files)), None)
    if form is None:
        kinds = sorted({path.suffix for path in files})
        raise DataError(
            f'{root}: {len(files)} files ({", ".join(kinds) or "none"}), and no annotations that are known: '
            + '; '.join(str(reader.WHAT) for reader in FORMATS.values())
        )
    options: dict[str, Any] = dict(masks_are=masks_are) if form == 'folders' else {}
    found: Annotations = FORMATS[form].read(folder, files, **options)
    if not found.scenes:
        first = f': {found.problems[0]}' if found.problems else ''
        raise DataError(f'{root}: {FORMATS[form].WHAT}, but no picture with an annotation{first}')
    return form, found
