"""Region maps on the host: connected components, their numbering, boxes and areas, and masks as run-length codes.

A *region map* is an integer map with a region's id at its pixels and 0 elsewhere. The id 255 is never given:
mmseg pads and rotates every map of ``seg_fields`` with 255, so that id means "outside the picture".

Training, inference and :mod:`deepunetto_mm.runtime` share this code, so it needs numpy and OpenCV alone.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence, Union

import cv2
import numpy as np

PADDING_ID = 255
STRIP_PIXELS = 2**21  # one strip for a picture of 1024 x 2048
_LARGEST_ID_OF_A_TABLE = 2**16


@dataclass
class RegionTable:
    """The R regions of one picture; row r of every array, or tensor, is the same region.

    Attributes:
        region_map: (H, W) int32, a region's id at its pixels, 0 elsewhere.
        ids: (R,) int64, ascending.
        labels: (R,) int64, index of the group.
        bboxes: (R, 4) float32, xyxy in pixels, half open: a single pixel at the origin is ``0, 0, 1, 1``.
        areas: (R,) int64, number of pixels.
    """

    region_map: Any
    ids: Any
    labels: Any
    bboxes: Any
    areas: Any

    def __len__(self) -> int:
        return len(self.ids)


def number_regions(count: int) -> np.ndarray:
    """The ids of ``count`` regions: 1, 2, ... without :data:`PADDING_ID`; (count,) int64."""
    ids = np.arange(1, count + 1, dtype=np.int64)
    return ids + (ids >= PADDING_ID)


def without_padding(region_map: Any) -> Any:
    """A region map, array or tensor of integers, with no region, 0, where it has :data:`PADDING_ID`."""
    return region_map * (region_map != PADDING_ID)


def touching_regions(region_map: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of ids whose regions touch, by 8 neighbours, or are a pixel apart; the lower id first.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 elsewhere.
    """
    pairs = []
    height, width = region_map.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        one = region_map[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        other = region_map[dy:, max(dx, 0) : width + min(dx, 0)]
        differ = (one != other) & (one > 0) & (other > 0)
        one, other = one[differ].astype(np.int64), other[differ].astype(np.int64)
        # One number for each pair: numpy sorts rows a hundred times slower.
        pairs.append(np.unique(np.minimum(one, other) << 32 | np.maximum(one, other)))
    return {(pair >> 32, pair & 0xFFFFFFFF) for pair in np.unique(np.concatenate(pairs)).tolist()}


def tabulate_regions(region_map: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the regions that are present in a region map.

    Args:
        region_map: (H, W) integers, 0 for no region; :data:`PADDING_ID` is ignored.

    Returns:
        ``ids`` (R,) int64 ascending, ``bboxes`` (R, 4) float32 xyxy half open, ``areas`` (R,) int64.

    Raises:
        ValueError: If an id is negative.
    """
    largest, least = int(region_map.max(initial=0)), int(region_map.min(initial=0))
    if least < 0:
        raise ValueError(f'region ids are at least 0, where there is no region; this map has {least}')
    if largest <= _LARGEST_ID_OF_A_TABLE:
        ids, rows = np.arange(largest + 1), region_map
    else:  # what follows takes memory by the largest number
        present, compact = np.unique(region_map, return_inverse=True)
        ids, rows = np.concatenate([[0], present.astype(np.int64)]), compact.reshape(region_map.shape) + 1
    areas, bboxes, _ = _measure(rows, len(ids))
    kept = np.flatnonzero((areas > 0) & (ids != 0) & (ids != PADDING_ID))
    return ids[kept], bboxes[kept].astype(np.float32), areas[kept]


def connected_regions(
    label_map: np.ndarray,
    group_of_class: Sequence[int],
    connectivity: int = 8,
    min_area: Union[int, Sequence[int]] = 1,
    max_regions: Optional[int] = None,
    backend: Optional[str] = None,
    split: Optional[Callable[[np.ndarray, Any, int], np.ndarray]] = None,
    by_class: bool = False,
    across_groups: bool = False,
) -> RegionTable:
    """Find the connected components of the union of each group's classes, and optionally split them.

    Ids are deterministic: 1 is the largest region; equal areas are ordered by their first pixel in reading order.

    Args:
        label_map: (H, W) integers, segmentation classes; labels without an entry in ``group_of_class`` (such as 255)
            belong to no region.
        group_of_class: Group index of each segmentation class, -1 for stuff.
        connectivity: 4 or 8 neighbours.
        min_area: Regions with fewer pixels are left out: a number, or one for each group.
        max_regions: Keep at most ``max_regions``, the largest; None keeps all.
        backend: ``'cv2'`` runs OpenCV once per group; ``'cc3d'`` (package ``connected-components-3d``) labels all
            groups in one pass, with equal results. None uses cc3d if it is installed.
        split: A function from the mask of a component in its box, (h, w) bool, this box, slices of the map's rows and
            columns, and the ``min_area`` of its group, to its parts, (h, w) integers from 1; each becomes a region. It
            is not called for components below ``min_area``.
        by_class: Components of each class of a group by itself, not of their union.
        across_groups: Components of all groups together. A region's group is that of most of its pixels, ties go to the
            first. Not with ``by_class``.

    Raises:
        ValueError: If the map is not two-dimensional, connectivity or backend is unknown, the backend is not installed,
            ``max_regions`` is negative, or ``by_class`` and ``across_groups`` are both set.
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
    if across_groups and by_class:
        raise ValueError('regions are components of each class, by_class=True, or of all groups, across_groups=True')
    if max_regions is not None and max_regions < 0:
        raise ValueError(f'max_regions must be at least 0, or None for all, got {max_regions}')
    # One look-up table for every label that fits in the map; labels without a group become 0.
    table = np.asarray(group_of_class, np.int32) + 1
    if by_class:
        table = np.where(table > 0, np.arange(1, len(table) + 1), 0)
    groups = np.empty(label_map.shape, np.uint16)
    for rows in row_strips(*label_map.shape):
        known = (label_map[rows] >= 0) & (label_map[rows] < len(group_of_class))
        groups[rows] = np.where(known, table[np.where(known, label_map[rows], 0)], 0)

    codes, least = groups, least_areas(min_area, group_of_class, by_class)
    if across_groups:  # which group a component is of, and its least area, is known when it has been split
        codes, least = np.minimum(groups, 1), min_area if isinstance(min_area, int) else min(min_area)
    components, count = (_components_cv2 if backend == 'cv2' else _components_cc3d)(codes, connectivity)
    if split is not None:
        measures = _measure(components, count + 1)
        least_of = np.broadcast_to(_of_labels(least, groups.ravel()[measures.first[1:]]), count)
        components, count = _split_components(components, measures, split, least_of)
    if across_groups:
        return _number_by_majority(components, count, groups, min_area, max_regions)
    regions = number_components(components, count, groups, least, max_regions)
    regions.labels -= 1
    if by_class:
        regions.labels = np.asarray(group_of_class, np.int64)[regions.labels]
    return regions


def least_areas(
    min_area: Union[int, Sequence[int]], group_of_class: Sequence[int], by_class: bool
) -> Union[int, list[int]]:
    """``min_area`` of :func:`connected_regions` as one number, or one for each code of a map: 0 outside of groups, then
    the groups, or the classes, from 1.
    """
    if isinstance(min_area, int):
        return min_area
    return [1, *((min_area[group] for group in group_of_class) if by_class else min_area)]


def number_components(
    components: np.ndarray,
    count: int,
    labels: np.ndarray,
    min_area: Union[int, Sequence[int]] = 1,
    max_regions: Optional[int] = None,
) -> RegionTable:
    """Number components as regions: 1 is the largest; equal areas are ordered by their first pixel in reading order.

    Args:
        components: (H, W) int32, 1 to ``count`` and 0 elsewhere; it becomes the region map.
        count: Number of components.
        labels: (H, W) integers; a region gets the label of its first pixel. They may be the components themselves.
        min_area: Regions with fewer pixels are left out: a number, or one for each label.
        max_regions: As of :func:`connected_regions`.
    """
    areas, bboxes, first = _measure(components, count + 1)
    order = np.lexsort((first[1:], -areas[1:])) + 1
    order = order[areas[order] > 0]
    order = order[areas[order] >= _of_labels(min_area, labels.ravel()[first[order]])][:max_regions]

    ids, of_region = number_regions(len(order)), labels.ravel()[first[order]].astype(np.int64)
    new_id = np.zeros(count + 1, np.int32)
    new_id[order] = ids
    for rows in row_strips(*components.shape):
        components[rows] = new_id[components[rows]]
    return RegionTable(components, ids, of_region, bboxes[order].astype(np.float32), areas[order])


def _number_by_majority(
    components: np.ndarray,
    count: int,
    groups: np.ndarray,
    min_area: Union[int, Sequence[int]],
    max_regions: Optional[int],
) -> RegionTable:
    """As :func:`number_components`, with the group of most pixels; ``groups`` (H, W) has them from 1."""
    width = int(groups.max(initial=0)) + 1
    pixels = np.zeros((count + 1) * width, np.int64)
    for rows in row_strips(*components.shape):
        part = np.bincount((components[rows] * np.int64(width) + groups[rows]).ravel())
        pixels[: len(part)] += part
    group_of = pixels.reshape(-1, width)[:, 1:].argmax(1) if width > 1 else np.zeros(count + 1, np.int64)
    least = min_area if isinstance(min_area, int) else np.asarray(min_area)[group_of].tolist()
    regions = number_components(components, count, components, least, max_regions)
    regions.labels = group_of[regions.labels]
    return regions


def _of_labels(min_area: Union[int, Sequence[int]], labels: np.ndarray) -> Any:
    return min_area if isinstance(min_area, int) else np.asarray(min_area)[labels]


class _Measures(NamedTuple):
    """Of each value of a map."""

    areas: np.ndarray  # (L,) number of pixels
    bboxes: np.ndarray  # (L, 4) xyxy, half open; upside down for a value without a pixel
    first: np.ndarray  # (L,) its first pixel, counted in reading order


def _measure(values: np.ndarray, length: int) -> _Measures:
    """Area, box and first pixel of each value below ``length`` of a map (H, W), all int64."""
    height, width = values.shape
    areas, first = np.zeros(length, np.int64), np.full(length, values.size, np.int64)
    low, high = np.full((2, length), max(height, width), np.int64), np.zeros((2, length), np.int64)
    for rows in row_strips(height, width):
        # Runs of equal values in a row, of which there are far fewer than pixels.
        part = values[rows]
        begins = np.ones(part.shape, bool)
        np.not_equal(part[:, 1:], part[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=part.size)
        owner = part.ravel()[starts]
        y, x = np.divmod(starts, width)
        y += rows.start
        np.add.at(areas, owner, lengths)
        np.minimum.at(first, owner, y * width + x)
        for axis, (start, stop) in enumerate(((x, x + lengths), (y, y + 1))):
            np.minimum.at(low[axis], owner, start)
            np.maximum.at(high[axis], owner, stop)
    return _Measures(areas, np.concatenate([low, high]).T, first)


def _components_cv2(groups: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    components, count = np.zeros(groups.shape, np.int32), 0
    for group in range(1, int(groups.max(initial=0)) + 1):
        mask = groups == group
        if mask.any():
            number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
            np.add(components, labels + count, out=components, where=labels > 0)
            count += number - 1
    return components, count


def _components_cc3d(groups: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    import cc3d  # optional, LGPL: the package connected-components-3d

    components, count = cc3d.connected_components(groups, connectivity=connectivity, return_N=True, out_dtype=np.uint32)
    return components.view(np.int32), int(count)


def _split_components(
    components: np.ndarray, measures: _Measures, split: Callable[[np.ndarray, Any, int], np.ndarray], least: np.ndarray
) -> tuple[np.ndarray, int]:
    result, count = components.copy(), len(measures.areas) - 1
    for component in np.flatnonzero(measures.areas[1:] >= least) + 1:
        x1, y1, x2, y2 = measures.bboxes[component]
        window = slice(y1, y2), slice(x1, x2)
        inside = components[window] == component
        parts = split(inside, window, int(least[component - 1]))[inside]
        # The first part keeps the number.
        result[window][inside] = np.where(parts > 1, parts - 1 + count, component)
        count += int(parts.max()) - 1
    return result, count


def row_strips(height: int, width: int, pixels: int = STRIP_PIXELS) -> Iterator[slice]:
    """Rows of a map, from top to bottom, in strips of at most ``pixels`` pixels, or of one row.

    Index arrays, casts and masks take at least 8 bytes per pixel, which is negligible for a strip.
    """
    step = max(pixels // max(width, 1), 1)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def encode_masks(region_map: np.ndarray, ids: np.ndarray) -> list[dict[str, Any]]:
    """Masks of regions as COCO's compressed run-length codes, which ``pycocotools.mask.decode`` reads.

    Args:
        region_map: (H, W) integers, a region's id at its pixels.
        ids: (R,) the regions to encode.

    Returns:
        R dicts of ``size`` [H, W] and ``counts``, a string.
    """
    # One pass over the runs of the map: encoding mask by mask takes R passes over the picture.
    height, width = region_map.shape
    begins = np.ones((height, width), bool)
    np.not_equal(region_map[1:], region_map[:-1], out=begins[1:])
    if height:  # COCO counts down the columns, from the last pixel of one to the first of the next
        begins[0, 1:] = region_map[0, 1:] != region_map[-1, :-1]
    places = np.flatnonzero(begins)
    owners = region_map.ravel()[places]
    starts = places % max(width, 1) * height + places // max(width, 1)
    order = starts.argsort()
    starts, owners = starts[order], owners[order]
    ends = np.append(starts[1:], region_map.size)
    order = np.argsort(owners, kind='stable')
    first, last = (np.searchsorted(owners[order], ids, side) for side in ('left', 'right'))
    # Of each region, the borders of its runs and the end of the picture; their differences are lengths of runs outside
    # and inside, alternating, starting outside.
    lengths = 2 * (last - first) + 1
    stops = lengths.cumsum()
    index = np.arange(lengths.sum()) - np.repeat(stops - lengths, lengths)
    borders = np.full(len(index), region_map.size)
    inner = index < np.repeat(lengths, lengths) - 1
    runs = order[(np.repeat(first, lengths) + index // 2)[inner]]
    borders[inner] = np.where(index[inner] % 2, ends[runs], starts[runs])
    counts = np.where(index > 0, np.diff(borders, prepend=0), borders)
    return [dict(size=[height, width], counts=code) for code in _compress(counts, index, stops)]


def _compress(counts: np.ndarray, index: np.ndarray, stops: np.ndarray) -> list[str]:
    """COCO's strings of run lengths: the inverse of :func:`deepunetto_mm.ops.coco_masks._runs`.

    Args:
        counts: (n,) int64, the lengths of one mask after those of another.
        index: (n,) the place of each within its mask.
        stops: (R,) where each mask ends.
    """
    # The fourth and later ones are differences; pycocotools leaves out a last run of no pixel.
    rest = counts - np.where(index > 2, np.roll(counts, 2), 0)
    open_ = np.ones(len(rest), bool)
    last = stops - 1
    open_[last[(counts[last] == 0) & (index[last] > 0)]] = False
    letters, used = [], []
    while open_.any():
        bits = rest & 31
        rest >>= 5
        used.append(open_)
        open_ = open_ & (rest != np.where(bits & 16, -1, 0))
        letters.append(bits + 32 * open_ + 48)
    if not letters:
        return []
    taken = np.stack(used, 1)
    text = np.stack(letters, 1)[taken].astype(np.uint8).tobytes().decode('ascii')
    ends = taken.sum(1).cumsum()[last].tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends)]
