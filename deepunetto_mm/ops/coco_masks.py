"""Masks as COCO writes them: run-length codes and polygons. Boxes in COCO are [x, y, width, height] in pixels."""

from __future__ import annotations

import reprlib
from typing import Any, Sequence, Union

import numpy as np
from pycocotools import mask as coco_mask

# What a COCO annotation has under ``segmentation``: polygons, or a run-length code.
Segmentation = Union[Sequence[Sequence[float]], dict[str, Any]]


def encode_masks(region_map: np.ndarray, ids: np.ndarray) -> list[dict[str, Any]]:
    """Masks of regions as COCO's compressed run-length code, which ``pycocotools.mask.decode`` reads.

    Args:
        region_map: (H, W) integers, a region's id at its pixels.
        ids: (R,) which regions to encode.

    Returns:
        R dicts of ``size`` [H, W] and ``counts``, a string.
    """
    # One pass over the runs of the map: encoding mask by mask takes R passes over the picture.
    height, width = region_map.shape
    flat = region_map.T.ravel()  # COCO counts down the columns
    begins = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], flat.size)
    masks = []
    order = np.argsort(flat[starts], kind='stable')
    owners = flat[starts][order]
    for region_id in ids:
        runs = order[np.searchsorted(owners, region_id) : np.searchsorted(owners, region_id, side='right')]
        # Lengths of what is outside and inside by turns, beginning outside.
        borders = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        counts = np.diff(borders, prepend=0, append=flat.size).tolist()
        mask = coco_mask.frPyObjects(dict(size=[height, width], counts=counts), height, width)
        masks.append(dict(size=[height, width], counts=mask['counts'].decode('ascii')))
    return masks


def run_length_code(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """The compressed run-length code of an annotation, whatever its segmentation is written as.

    Args:
        segmentation: As :func:`check_segmentation` wants it. The polygons of one annotation are united.
        height: Of the picture.
        width: Of the picture.

    Returns:
        What ``pycocotools.mask.decode`` and ``area`` take. A polygon smaller than a pixel may have none.

    Raises:
        ValueError: If the segmentation is none of this picture.
    """
    check_segmentation(segmentation, height, width)
    if isinstance(segmentation, dict):
        counts = segmentation['counts']
        # Not by pycocotools' own reader of strings, which reads on behind one that breaks off within a number.
        runs = _runs(counts) if isinstance(counts, str) else counts
        return coco_mask.frPyObjects(dict(size=[height, width], counts=runs), height, width)
    return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))


def check_segmentation(segmentation: Any, height: int, width: int) -> None:
    """Raise unless a segmentation is one of COCO's three kinds, for a picture of this size.

    pycocotools does not look: a polygon of four numbers is a box to it, runs that end too early leave the rest of the
    mask to what happens to be in the memory, and a corner at 10^8 ends the process.

    Args:
        segmentation: Polygons, each [x1, y1, x2, y2, x3, y3, ...] in pixels, no number larger than twice the larger
            side of the picture; or ``dict(size=[H, W], counts=...)`` with the lengths of the runs outside and inside by
            turns, down the columns, as a list or as a compressed string.
        height: Of the picture.
        width: Of the picture.

    Raises:
        ValueError: If it is not; says why.
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get('size'), segmentation.get('counts')
        if size != [height, width]:
            raise ValueError(
                f'its run-length code has the size {reprlib.repr(size)}, and the picture is [{height}, {width}]'
            )
        runs = _runs(counts) if isinstance(counts, str) else counts
        if (
            not isinstance(runs, list)
            or not all(isinstance(run, int) and run >= 0 for run in runs)
            or sum(runs) != height * width
        ):
            raise ValueError(f'the runs of its run-length code do not add up to the {height * width} pixels')
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError('it has no segmentation, which is polygons or a run-length code; a box alone is no mask')
    farthest = 2 * max(height, width)
    for polygon in segmentation:
        try:
            corners = np.asarray(polygon)
        except ValueError:  # lists of different lengths
            corners = np.zeros(0)
        # Texts, and whole numbers of more than 64 bits, are of other kinds.
        if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or corners.dtype.kind not in 'iuf':
            raise ValueError('a polygon of it is no list of x1, y1, x2, y2, x3, y3 and more')
        if not (-farthest <= corners.min() and corners.max() <= farthest):  # so that nan is none, either
            raise ValueError(
                f'a polygon of it reaches far out of the picture of {width}x{height} pixels, or nowhere: '
                f'{corners.min()} to {corners.max()}'
            )


def _runs(code: str) -> list[int]:
    """The runs of a compressed string.

    A number is made of characters of 6 bits each from 48 on, the lowest bits first: 5 bits of the number, and one that
    says whether more follow. From the fourth number on, it is the difference to the one before the last. No runs, of a
    string that breaks off or has other characters.
    """
    runs: list[int] = []
    value = shift = 0
    for character in code:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:  # no picture has runs of 2^60 pixels
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return [] if shift else runs
