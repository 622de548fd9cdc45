"""COCO's formats: masks as run-length codes and polygons, and numbers. Boxes are [x, y, width, height] in pixels."""

import re
import reprlib
from typing import Any, Sequence, Union

import numpy as np
from pycocotools import mask as coco_mask

# The content of ``segmentation`` in a COCO annotation: polygons, or a run-length code.
Segmentation = Union[Sequence[Sequence[float]], dict[str, Any]]

# The keys whose values are whole numbers.
_NUMBERS = ('id', 'image_id', 'category_id', 'height', 'width', 'iscrowd', 'ignore')


def run_length_code(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """The compressed run-length code of an annotation with any type of segmentation.

    Args:
        segmentation: As in :func:`check_segmentation`. The polygons of one annotation are united.
        height, width: Of the picture.

    Returns:
        A code for ``pycocotools.mask.decode`` and ``area``. A polygon smaller than a pixel may be empty.

    Raises:
        ValueError: If the segmentation is not valid for this picture.
    """
    if isinstance(segmentation, dict):
        runs = _checked_runs(segmentation, height, width)
        return coco_mask.frPyObjects(dict(size=[height, width], counts=runs), height, width)
    check_segmentation(segmentation, height, width)
    return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))


def mask_runs(segmentation: Segmentation, height: int, width: int) -> list[int]:
    """Lengths of the runs outside and inside a mask, alternating, down the columns; arguments and errors as above."""
    if isinstance(segmentation, dict):
        return _checked_runs(segmentation, height, width)
    return _runs(run_length_code(segmentation, height, width)['counts'].decode())


def check_segmentation(segmentation: Any, height: int, width: int) -> None:
    """Raise unless a segmentation is one of COCO's three types, for a picture of this size.

    pycocotools does not check: it takes a polygon of four numbers for a box, fills the rest of the mask with
    uninitialised memory if the runs end too early, and crashes on a corner at 10^8.

    Args:
        segmentation: Polygons, each [x1, y1, x2, y2, x3, y3, ...] in pixels, no number larger than twice the larger
            side of the picture; or ``dict(size=[H, W], counts=...)`` with the lengths of the runs outside and inside,
            alternating, down the columns, as a list or as a compressed string.
        height, width: Of the picture.

    Raises:
        ValueError: If it is not; the message says why.
    """
    if isinstance(segmentation, dict):
        _checked_runs(segmentation, height, width)
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError('it has no segmentation, which is polygons or a run-length code; a box is not a mask')
    farthest = 2 * max(height, width)
    for polygon in segmentation:
        try:
            corners = np.asarray(polygon)
        except ValueError:  # lists of different lengths
            corners = np.zeros(0)
        # Texts, and integers of more than 64 bits, have other dtypes.
        if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or corners.dtype.kind not in 'iuf':
            raise ValueError('a polygon of it is not a list of x1, y1, x2, y2, x3, y3 and more')
        if not (-farthest <= corners.min() and corners.max() <= farthest):  # also true for nan
            raise ValueError(
                f'a polygon of it reaches far outside the picture of {width}x{height} pixels, or is not finite: '
                f'{corners.min()} to {corners.max()}'
            )


def restore_numbers(content: Any) -> None:
    """Turn ``'7'`` and ``7.0`` into 7, in place, under the keys of COCO's that are whole numbers.

    Tools that go through tables write them so. A flag of ``'0'`` would be taken for set.

    Args:
        content: What an annotation file holds, whatever it is.
    """
    for entries in content.values() if isinstance(content, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                for key in _NUMBERS:
                    if key in entry:
                        entry[key] = _whole(entry[key])
                restore_numbers({'segments_info': entry.get('segments_info')})


def _checked_runs(code: dict[str, Any], height: int, width: int) -> list[int]:
    """The runs of a run-length code, if they are those of a mask of this size."""
    size, counts = code.get('size'), code.get('counts')
    if size != [height, width]:
        raise ValueError(
            f'its run-length code has the size {reprlib.repr(size)}, but the picture is [{height}, {width}]'
        )
    # Not by pycocotools' own parser, which reads beyond the end of a string that ends within a number.
    runs = _runs(counts) if isinstance(counts, str) else counts
    if (
        not isinstance(runs, list)
        or not all(isinstance(run, int) and run >= 0 for run in runs)
        or sum(runs) != height * width
    ):
        raise ValueError(f'the runs of its run-length code do not add up to the {height * width} pixels')
    return runs


def _runs(code: str) -> list[int]:
    """The runs of a compressed string.

    A number consists of characters of 6 bits each, from 48 on, lowest bits first: 5 bits of the number, and one that
    says whether more follow. From the fourth number on, it is the difference to the one before the last. The result is
    empty for a string that ends within a number or has other characters.
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


def _whole(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r'\s*-?[0-9]{1,18}\s*', value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
