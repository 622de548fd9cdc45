"""Regions that names bring together, on arrays: the network and :mod:`deepunetto_mm.runtime` share this code."""

from typing import Mapping, Sequence

import numpy as np

from deepunetto_mm.utils.region_maps import touching_regions


def join_regions(
    region_map: np.ndarray, regions: Mapping[str, np.ndarray], group_of_fine: Sequence[int]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Make touching regions of different groups one region, if their names are of the same group.

    Where the segmentation took the lower half of a dress for a skirt, and the names say that both halves are a dress,
    the dress is one region again. Touching regions of the same group were separated on purpose: they never become
    parts of one region, and what touches both goes to the one with the lower id. Regions touch by 8 neighbours, and
    also if they are a pixel apart.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 elsewhere. Other ids stay as they are.
        regions: Arrays of R regions: ``ids`` (R,) ascending, ``labels`` (R,), the groups of the segmentation,
            ``bboxes`` (R, 4) xyxy, ``areas`` (R,), ``fine_scores`` (R, K), whose largest is the name, and any others.
        group_of_fine: The group of each of K fine classes.

    Returns:
        The region map and arrays of the regions that are left, still by ascending ids. A joined region has the id and
        the label of its first part, and the means of floating values, weighted by area; names of other groups than the
        one that joined it have the score 0.
    """
    group_of_name = np.asarray(group_of_fine)
    parts = _parts_of_regions(region_map, regions, group_of_name)
    if not parts:
        return region_map, dict(regions)
    joined = {key: values.copy() for key, values in regions.items()}
    new_id = np.arange(max(int(region_map.max()), int(regions['ids'].max())) + 1).astype(region_map.dtype)
    for rows in parts:
        first = rows[0]
        new_id[regions['ids'][rows]] = regions['ids'][first]
        boxes, areas = regions['bboxes'][rows], regions['areas'][rows]
        for key, values in regions.items():
            if np.issubdtype(values.dtype, np.floating):
                joined[key][first] = np.average(values[rows], axis=0, weights=areas)
        joined['bboxes'][first] = [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]
        joined['areas'][first] = areas.sum()
        scores = joined['fine_scores'][first]
        allowed = group_of_name == group_of_name[regions['fine_scores'][first].argmax()]
        joined['fine_scores'][first] = scores * allowed * (scores.sum() / scores[allowed].sum())
    gone = [row for rows in parts for row in rows[1:]]
    return new_id[region_map], {key: np.delete(values, gone, axis=0) for key, values in joined.items()}


def _parts_of_regions(
    region_map: np.ndarray, regions: Mapping[str, np.ndarray], group_of_name: np.ndarray
) -> list[list[int]]:
    """The rows that become one region, ascending, for each region of several parts."""
    groups, labels = group_of_name[regions['fine_scores'].argmax(1)], regions['labels']
    row_of_id = {id_: row for row, id_ in enumerate(regions['ids'].tolist())}
    pairs = sorted(pair for pair in touching_regions(region_map) if row_of_id.keys() >= set(pair))
    rows = [(row_of_id[one], row_of_id[other]) for one, other in pairs]
    rows = [(one, other) for one, other in rows if groups[one] == groups[other]]
    apart = {pair for pair in rows if labels[pair[0]] == labels[pair[1]]}
    parts: dict[int, set[int]] = {row: {row} for pair in rows for row in pair}
    for one, other in rows:
        a, b = parts[one], parts[other]
        if a is not b and not any((min(x, y), max(x, y)) in apart for x in a for y in b):
            a |= b
            parts.update(dict.fromkeys(b, a))
    return [sorted(own) for row, own in parts.items() if row == min(own) and len(own) > 1]
