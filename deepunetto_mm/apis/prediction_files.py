"""A prediction as plain values, and as files."""

import io
import json
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import numpy as np
from mmseg.structures import SegDataSample
from PIL import Image

from deepunetto_mm import runtime
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.files import write_whole


def describe_regions(sample: SegDataSample, taxonomy: Taxonomy, top_k: int) -> list[dict[str, Any]]:
    """The regions of a prediction, in values that JSON supports.

    Args:
        sample: On the CPU, with ``pred_regions`` and ``pred_region_map``; without them there are no regions.
        taxonomy: The model's taxonomy.
        top_k: Number of fine classes to list.

    Returns:
        As :func:`deepunetto_mm.runtime.describe_regions`.
    """
    if 'pred_regions' not in sample:
        return []
    return runtime.describe_regions(
        sample.pred_regions.numpy(), sample.pred_region_map.data[0].numpy(), taxonomy, top_k
    )


def write_prediction(
    out_dir: Path, name: str, record: dict[str, Any], sample: SegDataSample, draw: Optional[Callable[[], np.ndarray]]
) -> dict[str, str]:
    """Write a prediction; every file atomically, the JSON file first and the drawing last.

    Args:
        out_dir: Folder, created if necessary.
        name: Stem of the files.
        record: Content of the JSON file.
        sample: On the CPU, with ``pred_sem_seg``, and ``pred_fine_seg`` and ``pred_region_map`` if there are regions.
        draw: Returns the drawing, (h, w, 3) uint8 RGB; None for no drawing.

    Returns:
        The files: ``prediction``, ``segmentation``, ``composed``, ``regions``, ``visualization``. Region
        ids are a PNG of 16 bits, or a TIFF of 32 bits for ids above 65,535, which PNG cannot hold. Maps with labels
        above 255 are PNGs of 16 bits.
    """
    files = {}

    def write(kind: str, folder: str, suffix: str, content: bytes) -> None:
        path = out_dir / folder / f'{name}{suffix}'
        write_whole(path, content)  # a half-written file of a killed process would look like a result
        files[kind] = str(path)

    write('prediction', 'predictions', '.json', json.dumps(record, indent=1).encode())
    maps = [
        ('segmentation', 'pred_sem_seg', np.uint8),
        ('composed', 'pred_fine_seg', np.uint8),
        ('regions', 'pred_region_map', np.uint16),
    ]
    for kind, field, dtype in maps:
        if field in sample:
            write(kind, kind, *_encode(sample.get(field).data[0].numpy(), dtype))
    if draw is not None:
        write('visualization', 'visualizations', '.png', _png(draw()[..., ::-1], np.uint8))
    return files


def write_taxonomy(out_dir: Path, taxonomy: Taxonomy) -> None:
    """Write ``classes.json``, which says what the label maps of the folder mean."""
    write_whole(out_dir / 'classes.json', json.dumps(taxonomy.to_dict(), indent=1).encode())


def _encode(values: np.ndarray, dtype: type) -> tuple[str, bytes]:
    """Suffix and content of the file of a label map (H, W): a PNG of the type, or a wider one if labels need it."""
    highest = int(values.max(initial=0))
    if highest > np.iinfo(np.uint16).max:
        content = io.BytesIO()
        Image.fromarray(values.astype(np.int32)).save(content, 'TIFF', compression='tiff_deflate')
        return '.tif', content.getvalue()
    dtype = dtype if highest <= np.iinfo(dtype).max else np.uint16
    # Only an ignore_index can be negative, and in PNG only the highest value is free for it.
    return '.png', _png(np.where(values < 0, np.iinfo(dtype).max, values), dtype)


def _png(values: np.ndarray, dtype: type) -> bytes:
    # OpenCV's own strategy takes twice as long for a drawing, and three times the bytes.
    strategy = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    return cv2.imencode('.png', np.ascontiguousarray(values, dtype=dtype), strategy)[1].tobytes()
