"""Regions that names bring together, on arrays: the network and :mod:`deepunetto_mm.runtime` share this code."""

from typing import Mapping, Sequence

import numpy as np

from deepunetto_mm.utils.region_maps import touching_regions


def join_regions(
    region_map: np.ndarray, regions: Mapping[str, np.ndarray], group_of_fine: Sequence[int]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Make touching regions of different groups one region, if their names are of the same group.

    Where the segmentation took the lower half of a dress for a skirt, and the names say that both halves are a dress,
    the dress is one region again. Touching regions of the same group were separated on purpose, and stay so. Regions
    touch by 8 neighbours, and also if they are a pixel apart.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 elsewhere.
        regions: Arrays of R regions: ``ids`` (R,) ascending, ``labels`` (R,), the groups of the segmentation,
            ``bboxes`` (R, 4) xyxy, ``areas`` (R,), ``fine_scores`` (R, K), whose largest is the name, and any others.
        group_of_fine: The group of each of K fine classes.

    Returns:
        The region map and arrays of the regions that are left. A joined region has the id and the label of its first
        part, and the means of the other values, weighted by area.
    """
    ids, labels, areas = regions['ids'], regions['labels'], regions['areas']
    groups = np.asarray(group_of_fine)[regions['fine_scores'].argmax(1)]
    row_of_id = {id_: row for row, id_ in enumerate(ids.tolist())}
    first = np.arange(len(ids))  # the first part of the region that a row belongs to
    for pair in touching_regions(region_map):
        one, other = (row_of_id[id_] for id_ in pair)
        if groups[one] == groups[other] and labels[one] != labels[other]:
            low, high = sorted((first[one], first[other]))
            first[first == high] = low
    kept, position = np.unique(first, return_inverse=True)
    if len(kept) == len(ids):
        return region_map, dict(regions)
    id_of_id = np.zeros(int(ids.max()) + 1, region_map.dtype)
    id_of_id[ids] = ids[first]
    joined = dict(ids=ids[kept], labels=labels[kept], bboxes=regions['bboxes'][kept].copy())
    np.minimum.at(joined['bboxes'][:, :2], position, regions['bboxes'][:, :2])
    np.maximum.at(joined['bboxes'][:, 2:], position, regions['bboxes'][:, 2:])
    joined['areas'] = np.zeros_like(areas[kept])
    np.add.at(joined['areas'], position, areas)
    for key in regions.keys() - joined.keys():
        values = regions[key]
        shares = (areas / joined['areas'][position]).reshape(-1, *[1] * (values.ndim - 1))
        mean = np.zeros((len(kept), *values.shape[1:]))
        np.add.at(mean, position, values * shares)
        joined[key] = mean.astype(values.dtype)
    return id_of_id[region_map], joined
