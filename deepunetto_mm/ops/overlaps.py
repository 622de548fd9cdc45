"""Overlaps of the regions of two region maps, and matching them.

Maps are converted to small *codes* first. A predicted map has 0 for no region and q + 1 for predicted region q. A
ground-truth map has, besides 0 and r + 1, the code R + 1 for *void*: pixels that the annotation leaves open, so no
prediction can be wrong there.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlaps:
    """The overlaps of the R ground-truth and the Q predicted regions of one picture. All arrays are int64.

    Attributes:
        gt: (P,) ground-truth region of each pair of regions that share a pixel.
        pred: (P,) predicted region of the same pair.
        shared: (P,) number of pixels they share.
        gt_areas: (R,) pixels of each ground-truth region, void left out.
        pred_areas: (Q,) pixels of each predicted region, all of them.
        pred_void: (Q,) pixels of each predicted region on void.
    """

    gt: np.ndarray
    pred: np.ndarray
    shared: np.ndarray
    gt_areas: np.ndarray
    pred_areas: np.ndarray
    pred_void: np.ndarray


@dataclass(frozen=True)
class Matches:
    """The M pairs of a ground-truth and a predicted region that are one object. All arrays are (M,) int64.

    Attributes:
        gt: Ground-truth region; no region is in two pairs.
        pred: Predicted region; no region is in two pairs.
        shared: Pixels in both.
        union: Pixels in either, void left out.
    """

    gt: np.ndarray
    pred: np.ndarray
    shared: np.ndarray
    union: np.ndarray


def encode_regions(region_map: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Replace the ids of a map by the regions' row numbers.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 elsewhere.
        ids: (R,) int64, distinct positive ids, in any order. A region without a pixel is allowed.

    Returns:
        (H, W) int64, r + 1 where the map has ``ids[r]``, 0 for no region.

    Raises:
        ValueError: If the map has an id that is not in ``ids``.
    """
    order = np.argsort(ids)
    known = np.concatenate([np.zeros(1, np.int64), ids[order]])
    position = np.searchsorted(known, region_map).clip(max=len(ids))
    strangers = known[position] != region_map
    if strangers.any():
        raise ValueError(f'ids {np.unique(region_map[strangers])[:5].tolist()} are in the map but not in the list')
    return np.concatenate([np.zeros(1, np.int64), order + 1])[position]


def count_overlaps(gt_codes: np.ndarray, pred_codes: np.ndarray, gt_count: int, pred_count: int) -> Overlaps:
    """Count the pixels that every ground-truth and every predicted region share, in one pass over the picture.

    Args:
        gt_codes: (H, W) integers, 0 for no region, r + 1 for region r, ``gt_count + 1`` for void.
        pred_codes: (H, W) integers, 0 for no region, q + 1 for region q.
        gt_count: Number R of ground-truth regions.
        pred_count: Number Q of predicted regions.
    """
    width = pred_count + 1
    pairs = (gt_codes * width + pred_codes).ravel()
    size = (gt_count + 2) * width
    if size <= max(pairs.size, 1 << 20):
        table = np.bincount(pairs, minlength=size)
        present = np.flatnonzero(table)
        counts = table[present]
    else:  # Counting all pairs of 20,000 and 20,000 regions would take 3 GB; sorting the pixels does not.
        present, counts = np.unique(pairs, return_counts=True)
    gt, pred = np.divmod(present, width)
    both = (gt >= 1) & (gt <= gt_count) & (pred >= 1)
    on_void = gt == gt_count + 1
    return Overlaps(
        gt=gt[both] - 1,
        pred=pred[both] - 1,
        shared=counts[both],
        gt_areas=sum_by(gt, counts, gt_count + 2)[1:-1],
        pred_areas=sum_by(pred, counts, width)[1:],
        pred_void=sum_by(pred[on_void], counts[on_void], width)[1:],
    )


def match_regions(overlaps: Overlaps, same: np.ndarray, pred_void: np.ndarray) -> Matches:
    """Pair regions whose masks have an intersection over union above one half.

    Regions of one map do not overlap, so above one half each region has at most one partner: no search is needed.
    Void pixels are counted in neither intersection nor union.

    Args:
        overlaps: The overlaps of one picture.
        same: (P,) bool, whether the two regions of a pair may match.
        pred_void: (Q,) int64, pixels of each predicted region that are not counted.
    """
    union = overlaps.gt_areas[overlaps.gt] + (overlaps.pred_areas - pred_void)[overlaps.pred] - overlaps.shared
    hit = same & (2 * overlaps.shared > union)
    return Matches(overlaps.gt[hit], overlaps.pred[hit], overlaps.shared[hit], union[hit])


def sum_by(index: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sum of the values at each index from 0 to ``size - 1``, (size,) int64."""
    total = np.zeros(size, np.int64)
    np.add.at(total, index, values)
    return total
