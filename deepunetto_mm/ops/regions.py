"""Label maps to regions: connected components, their numbering, boxes and areas; and means over regions.

A *region map* is an integer map with a region's id at its pixels and 0 elsewhere. The id 255 is never given:
mmseg pads and rotates every map of ``seg_fields`` with 255, so that id means "outside the picture".
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Callable, Iterator, Optional, Sequence

import cv2
import numpy as np
import torch
from mmengine import dist
from scipy import ndimage
from torch import Tensor

PADDING_ID = 255
STRIP_PIXELS = 2**21  # one strip for a picture of 1024 x 2048
_LARGEST_ID_OF_A_TABLE = 2**16


@dataclass
class RegionTable:
    """The R regions of one picture; row r of every array is the same region.

    Attributes:
        region_map: (H, W) int32, a region's id at its pixels, 0 elsewhere.
        ids: (R,) int64, ascending.
        labels: (R,) int64, index of the group.
        bboxes: (R, 4) float32, xyxy in pixels, half open: a single pixel at the origin is ``0, 0, 1, 1``.
        areas: (R,) int64, number of pixels.
    """

    region_map: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    bboxes: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def number_regions(count: int) -> np.ndarray:
    """The ids of ``count`` regions: 1, 2, ... without :data:`PADDING_ID`; (count,) int64."""
    ids = np.arange(1, count + 1, dtype=np.int64)
    return ids + (ids >= PADDING_ID)


def without_padding(region_map: Any) -> Any:
    """A region map, array or tensor of integers, with no region, 0, where it has :data:`PADDING_ID`."""
    return region_map * (region_map != PADDING_ID)


def tabulate_regions(region_map: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the regions that are present in a region map.

    Args:
        region_map: (H, W) integers, 0 for no region; :data:`PADDING_ID` is ignored.

    Returns:
        ``ids`` (R,) int64 ascending, ``bboxes`` (R, 4) float32 xyxy half open, ``areas`` (R,) int64.
    """
    largest = int(region_map.max(initial=0))
    if largest <= _LARGEST_ID_OF_A_TABLE:
        ids, rows = np.arange(largest + 1), region_map
    else:  # what follows takes memory by the largest number
        present, compact = np.unique(region_map, return_inverse=True)
        ids, rows = np.concatenate([[0], present.astype(np.int64)]), compact.reshape(region_map.shape) + 1
    areas = _count(rows, len(ids))
    kept = np.flatnonzero((areas > 0) & (ids != 0) & (ids != PADDING_ID))
    windows = ndimage.find_objects(rows, max_label=len(ids) - 1) if len(kept) else []
    return ids[kept], _boxes([windows[row - 1] for row in kept]), areas[kept]


def connected_regions(
    label_map: np.ndarray,
    group_of_class: Sequence[int],
    connectivity: int = 8,
    min_area: int = 1,
    max_regions: Optional[int] = None,
    backend: Optional[str] = None,
    split: Optional[Callable[[np.ndarray], np.ndarray]] = None,
) -> RegionTable:
    """Find the connected components of the union of each group's classes, and optionally split them.

    Ids are deterministic: 1 is the largest region; equal areas are ordered by their first pixel in reading order.

    Args:
        label_map: (H, W) integers, segmentation classes; labels without an entry in ``group_of_class`` (such as 255)
            belong to no region.
        group_of_class: Group index of each segmentation class, -1 for stuff.
        connectivity: 4 or 8 neighbours.
        min_area: Regions with fewer pixels are left out.
        max_regions: Keep at most ``max_regions``, the largest; None keeps all.
        backend: ``'cv2'`` runs OpenCV once per group; ``'cc3d'`` (package ``connected-components-3d``) labels all
            groups in one pass, with equal results. None uses cc3d if it is installed.
        split: A function from the mask of a component in its box, (h, w) bool, to its parts, (h, w) integers from 1;
            each becomes a region. It is not called for components below ``min_area``.

    Raises:
        ValueError: If the map is not two-dimensional, connectivity or backend is unknown, the backend is not installed,
            or ``max_regions`` is negative.
    """
    if label_map.ndim != 2:
        raise ValueError(f'a label map must have shape (H, W), got {label_map.shape}')
    if connectivity not in (4, 8):
        raise ValueError(f'connectivity must be 4 or 8, got {connectivity}')
    if backend is None:
        backend = 'cc3d' if find_spec('cc3d') else 'cv2'
    if backend not in ('cv2', 'cc3d'):
        raise ValueError(f"backend must be 'cv2' or 'cc3d', got {backend!r}")
    if backend == 'cc3d' and not find_spec('cc3d'):
        raise ValueError("backend 'cc3d' needs the package connected-components-3d: install it, or use 'cv2'")
    if max_regions is not None and max_regions < 0:
        raise ValueError(f'max_regions must be at least 0, or None for all, got {max_regions}')
    # One look-up table for every label that fits in the map; labels without a group become 0.
    table = np.asarray(group_of_class, np.int32) + 1
    groups = np.empty(label_map.shape, np.uint16)
    for rows in row_strips(*label_map.shape):
        known = (label_map[rows] >= 0) & (label_map[rows] < len(group_of_class))
        groups[rows] = np.where(known, table[np.where(known, label_map[rows], 0)], 0)

    components, count = (_components_cv2 if backend == 'cv2' else _components_cc3d)(groups, connectivity)
    if split is not None:
        components, count = _split_components(components, count, split, min_area)
    areas = _count(components, count + 1)
    # Written in reverse order, so the last write to a slot is the component's first pixel.
    first = np.zeros(count + 1, np.int64)
    for rows in reversed(list(row_strips(*components.shape))):
        part, offset = components[rows].ravel(), rows.start * components.shape[1]
        first[part[::-1]] = np.arange(offset + part.size - 1, offset - 1, -1)
    order = np.lexsort((first[1:], -areas[1:])) + 1
    order = order[areas[order] >= min_area][:max_regions]

    ids = number_regions(len(order))
    new_id = np.zeros(count + 1, np.int32)
    new_id[order] = ids
    bboxes = _boxes(ndimage.find_objects(components, max_label=count) if count else [])[order - 1]
    for rows in row_strips(*components.shape):
        components[rows] = new_id[components[rows]]
    return RegionTable(
        region_map=components,
        ids=ids,
        labels=groups.ravel()[first[order]].astype(np.int64) - 1,
        bboxes=bboxes,
        areas=areas[order],
    )


def _count(values: np.ndarray, length: int) -> np.ndarray:
    """Number of pixels of each value below ``length``, (length,) int64; bincount alone casts the map to int64."""
    counts = np.zeros(length, np.int64)
    for rows in row_strips(*values.shape):
        counts += np.bincount(values[rows].ravel(), minlength=length)
    return counts


def _components_cv2(groups: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    components, count = np.zeros(groups.shape, np.int32), 0
    for group in np.flatnonzero(_count(groups, int(groups.max(initial=0)) + 1)[1:]) + 1:
        number, labels = cv2.connectedComponents((groups == group).astype(np.uint8), connectivity=connectivity)
        np.add(components, labels + count, out=components, where=labels > 0)
        count += number - 1
    return components, count


def _components_cc3d(groups: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    import cc3d  # optional, LGPL: the package connected-components-3d

    components, count = cc3d.connected_components(groups, connectivity=connectivity, return_N=True, out_dtype=np.uint32)
    return components.view(np.int32), int(count)


def _split_components(
    components: np.ndarray, count: int, split: Callable[[np.ndarray], np.ndarray], min_area: int
) -> tuple[np.ndarray, int]:
    areas = _count(components, count + 1)
    windows = ndimage.find_objects(components, max_label=count) if count else []
    result = components.copy()
    for component in np.flatnonzero(areas[1:] >= min_area) + 1:
        window = windows[component - 1]
        inside = components[window] == component
        parts = split(inside)[inside]
        # The first part keeps the number.
        result[window][inside] = np.where(parts > 1, parts - 1 + count, component)
        count += int(parts.max()) - 1
    return result, count


def _boxes(windows: Sequence[tuple[slice, slice]]) -> np.ndarray:
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in windows]
    return np.asarray(boxes, np.float32).reshape(len(boxes), 4)


def region_means(region_map: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """Mean of each map over each region.

    Args:
        region_map: (H, W) integers, 0 for no region; ids that are not in ``ids`` are ignored.
        ids: (R,) int64, ascending.
        values: (M, H, W) float.

    Returns:
        (R, M) float32; 0 for a region without a pixel.
    """
    # float64: a float32 sum of a million probabilities is wrong in the third digit.
    sums = torch.zeros(len(ids), len(values), dtype=torch.float64, device=values.device)
    areas = torch.zeros(len(ids), dtype=torch.int64, device=values.device)
    for rows in row_strips(*region_map.shape):
        inside = torch.isin(region_map[rows], ids)
        position = torch.searchsorted(ids, region_map[rows][inside].long())
        sums.index_add_(0, position, values[:, rows][:, inside].T.double())
        areas += torch.bincount(position, minlength=len(ids))
    return (sums / areas.clamp(min=1)[:, None]).float()


def row_strips(height: int, width: int, pixels: int = STRIP_PIXELS) -> Iterator[slice]:
    """Rows of a map, from top to bottom, in strips of at most ``pixels`` pixels, or of one row.

    Index arrays, casts and masks take at least 8 bytes per pixel, which is negligible for a strip.
    """
    step = max(pixels // max(width, 1), 1)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def share_of_mean(total: Tensor, weight: Tensor) -> Tensor:
    """The share of this process in a weighted mean over the regions, or pixels, of all processes.

    Gradients are averaged over the processes. Regions then weigh the same, whichever process has them, if each process
    divides its sum by the mean of all sums of weights.

    Args:
        total: Sum of weight times loss over the regions of this process, a scalar.
        weight: Sum of their weights, a scalar; 0 without regions, for which the share is 0.
    """
    mean = weight.detach().clone().float()
    dist.all_reduce(mean, 'mean')
    return total / mean.clamp(min=1e-6)
