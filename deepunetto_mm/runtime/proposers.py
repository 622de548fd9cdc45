"""Regions from the maps of ``segment.onnx``, on arrays: what :mod:`deepunetto_mm.models.regions` finds on tensors."""

from typing import Any, Mapping, Optional

import cv2
import numpy as np

from deepunetto_mm.runtime.naming import named_labels
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.necks import cut_at_borders, cut_at_necks
from deepunetto_mm.utils.region_maps import RegionTable, connected_regions, number_components

_LEAF = 2**16  # distances that are computed at once


def propose(
    options: Mapping[str, Any], taxonomy: Taxonomy, maps: Mapping[str, np.ndarray]
) -> tuple[RegionTable, Optional[np.ndarray]]:
    """Find the regions of a picture.

    Args:
        options: ``proposer`` of ``model.json``.
        taxonomy: The taxonomy.
        maps: Of the picture: ``labels`` (H, W), and the ``names`` (K, H, W), ``*.heat`` (1, H, W), ``*.vectors``
            (2, H, W) and logits of borders (1, H, W) that the proposer reads.

    Returns:
        The regions, and their objectness (R,) float32; None from a proposer that knows none.
    """
    if options['type'] == 'CentreOffsetProposer':
        return _by_centres(options, taxonomy, maps)
    if options['type'] == 'BorderWatershed':
        return _by_borders(options, taxonomy, maps), None
    labels, groups, by_name = maps['labels'], taxonomy.group_of_class, options['by_name']
    if by_name:
        labels, groups = named_labels(labels, maps['names'], taxonomy), groups + taxonomy.group_of_fine
    necks = options['necks']

    def cut(mask: np.ndarray, window: Any, least: int) -> np.ndarray:
        return cut_at_necks(mask, necks['neck_ratio'], least if necks['min_area'] is None else necks['min_area'])

    return connected_regions(labels, groups, **_limits(options, by_name), split=necks and cut), None


def _limits(options: Mapping[str, Any], by_name: bool = False) -> dict[str, Any]:
    limits = {key: options[key] for key in ('connectivity', 'min_area', 'max_regions')}
    return dict(limits, by_class=options['by_class'] or by_name)


def _by_borders(options: Mapping[str, Any], taxonomy: Taxonomy, maps: Mapping[str, np.ndarray]) -> RegionTable:
    border = maps[options['borders']][0]

    def cut(mask: np.ndarray, window: Any, least: int) -> np.ndarray:
        return cut_at_borders(mask, border[window], options['threshold'], options['min_seed'], least)

    limits = dict(_limits(options), across_groups=options['across_groups'])
    return connected_regions(maps['labels'], taxonomy.group_of_class, **limits, split=cut)


def _by_centres(
    options: Mapping[str, Any], taxonomy: Taxonomy, maps: Mapping[str, np.ndarray]
) -> tuple[RegionTable, np.ndarray]:
    """As ``CentreOffsetProposer``, where each step is explained."""
    labels, heat, vectors = maps['labels'], maps[f'{options["head"]}.heat'][0], maps[f'{options["head"]}.vectors']
    centres = find_centres(heat, options['threshold'], options['window'], options['max_centres'])
    limits, group_of_class = _limits(options), np.asarray(taxonomy.group_of_class)
    if not len(centres):
        table = connected_regions(labels, taxonomy.group_of_class, **limits)
        return table, np.full(len(table), options['threshold'], np.float32)
    components = connected_regions(
        labels, taxonomy.group_of_class, **dict(limits, min_area=1, max_regions=None)
    ).region_map
    rows, columns = np.nonzero(components)
    component, classes = components[rows, columns], labels[rows, columns]
    nearest, agrees = _nearest_centres(rows, columns, vectors, centres, options['window'] // 2)
    votes = np.bincount(component, 2 * agrees - 1.0)
    # Keys of the pixels: from 1 centres (of each class), and after all of those components.
    per_centre = len(taxonomy.classes) if options['by_class'] else 1
    first_component = 1 + len(centres) * per_centre
    key = 1 + nearest * per_centre + classes * options['by_class']
    key = np.where(votes[component] < 0, first_component + component, key)
    shape = first_component + len(votes), len(taxonomy.groups)
    areas = np.bincount(key * shape[1] + group_of_class[classes], minlength=shape[0] * shape[1]).reshape(shape)
    present = areas.sum(1) > 0
    of_number = np.flatnonzero(present)
    region_map = np.zeros(labels.shape, np.int32)
    region_map[rows, columns] = present.cumsum()[key]
    least = options['min_area']
    if not isinstance(least, int):
        least = [1, *(least[group] for group in areas[of_number].argmax(1))]
    table = number_components(region_map, len(of_number), region_map, least, options['max_regions'])
    of_region = of_number[table.labels - 1]
    table.labels = areas[of_region].argmax(1)
    x, y = centres[((of_region - 1) // per_centre).clip(max=len(centres) - 1)].T
    objectness = np.where(of_region < first_component, heat[y, x].clip(max=1), options['threshold'])
    return table, objectness.astype(np.float32)


def find_centres(heat: np.ndarray, threshold: float, window: int, max_centres: Optional[int]) -> np.ndarray:
    """The centres (K, 2) int64, x and y, in reading order, of a heat map (H, W) float32."""
    found = (heat == cv2.dilate(heat, np.ones((window, window), np.uint8))) & (heat > threshold)
    rows, columns = np.nonzero(found)
    # Of equally hot neighbours, the first.
    padded, first = np.pad(found, window // 2), np.ones(len(rows), bool)
    for earlier in range(window**2 // 2):
        first &= ~padded[rows + earlier // window, columns + earlier % window]
    centres = np.stack([columns, rows], 1)[first]
    if max_centres is None or len(centres) <= max_centres:
        return centres
    hottest = np.argsort(-heat[centres[:, 1], centres[:, 0]], kind='stable')[:max_centres]
    return centres[np.sort(hottest)]


def _nearest_centres(
    rows: np.ndarray, columns: np.ndarray, vectors: np.ndarray, centres: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of each pixel, (P,) int64, and whether the pixel agrees with it, (P,) bool.

    Args:
        rows, columns: (P,) int64, the pixels.
        vectors: (2, H, W) float32.
        centres: (K, 2) int64.
        reach: A place that is at most this number of pixels from its centre agrees.
    """
    height, width = vectors.shape[1:]
    steps = np.nan_to_num(vectors[:, rows, columns])
    places = np.stack([columns, rows]).astype(np.float32) + steps
    x, y = (np.rint(place).clip(0, most - 1).astype(np.int64) for place, most in zip(places, (width, height)))
    # Many pixels point to the same place: one search for all of them.
    codes, of_pixel = np.unique(y * width + x, return_inverse=True)
    nearest = nearest_points(np.stack([codes % width, codes // width], 1), centres)[of_pixel]
    far = np.square(places - centres.T.astype(np.float32)[:, nearest]).sum(0)
    return nearest, far <= np.square(steps).sum(0).clip(min=reach**2)


def nearest_points(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The nearest point of each query, exactly.

    Queries are halved until few are left, and with them the points: all of a box are at most its diagonal farther from
    the nearest point of the box's middle than from their own.

    Args:
        queries: (Q, 2) integers, none twice.
        points: (K, 2) integers, at least one. Ties go to the first.

    Returns:
        (Q,) int64, indices of points.
    """
    nearest = np.zeros(len(queries), np.int64)
    parts = [(np.arange(len(queries)), np.arange(len(points)))] if len(queries) else []
    while parts:
        own, candidates = parts.pop()
        low, high = queries[own].min(0), queries[own].max(0)
        middle = (low + high) / 2
        distance = np.hypot(*(points[candidates] - middle).T)
        # A pixel more, since distances are rounded.
        candidates = candidates[distance <= distance.min() + np.hypot(*(high - low)) + 1]
        if len(own) == 1 or len(own) * len(candidates) <= _LEAF:
            squares = np.square(queries[own, None] - points[candidates]).sum(2)
            nearest[own] = candidates[squares.argmin(1)]
            continue
        axis = int((high - low).argmax())
        below = queries[own, axis] <= middle[axis]
        parts += [(own[below], candidates), (own[~below], candidates)]
    return nearest
