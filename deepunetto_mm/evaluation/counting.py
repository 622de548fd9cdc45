"""What the metrics count in a picture: overlaps of regions, matches, panoptic errors, pixels, ranks of labels.

Every map is turned into small *codes* first. A predicted map has 0 for no region and q + 1 for predicted region q.
A ground-truth map has, besides 0 and r + 1, the code R + 1 for *void*: pixels of which the annotation does not say
to what they belong, so that no prediction can be wrong there.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np


@dataclass(frozen=True)
class Overlaps:
    """How the R ground-truth and the Q predicted regions of one picture overlap. All arrays are int64.

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
    """Number the regions of a map by their row.

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
        raise ValueError(f'ids {np.unique(region_map[strangers])[:5].tolist()} are in the map and not in the list')
    return np.concatenate([np.zeros(1, np.int64), order + 1])[position]


def encode_labels(label_map: np.ndarray, count: int, ignore_index: int) -> np.ndarray:
    """Replace the ignored pixels of a label map by the label ``count``.

    Args:
        label_map: (H, W) integers, labels 0 to ``count - 1`` and ``ignore_index``.
        count: Number of labels.
        ignore_index: Value of the pixels to ignore.

    Returns:
        (H, W) int64 from 0 to ``count``.

    Raises:
        ValueError: If there is any other value.
    """
    codes = np.where(label_map == ignore_index, count, label_map.astype(np.int64))
    wrong = (codes < 0) | (codes > count) | ((codes == count) & (label_map != ignore_index))
    if wrong.any():
        raise ValueError(f'labels {np.unique(label_map[wrong])[:5].tolist()} are neither 0 to {count - 1} '
                         f'nor ignore_index {ignore_index}')
    return codes


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
    else:  # Counting every possible pair of 20,000 and 20,000 regions would take 3 GB; sorting the pixels does not.
        present, counts = np.unique(pairs, return_counts=True)
    gt, pred = np.divmod(present, width)
    both = (gt >= 1) & (gt <= gt_count) & (pred >= 1)
    on_void = gt == gt_count + 1
    return Overlaps(
        gt=gt[both] - 1,
        pred=pred[both] - 1,
        shared=counts[both],
        gt_areas=_sum_by(gt, counts, gt_count + 2)[1:-1],
        pred_areas=_sum_by(pred, counts, width)[1:],
        pred_void=_sum_by(pred[on_void], counts[on_void], width)[1:])


def match_regions(overlaps: Overlaps, same: np.ndarray, pred_void: np.ndarray) -> Matches:
    """Pair regions whose masks have an intersection over union above one half.

    Regions of one map do not overlap, so that above one half no region has a second partner: no search is needed.
    Void pixels count in neither intersection nor union.

    Args:
        overlaps: The overlaps of one picture.
        same: (P,) bool, whether the two regions of a pair may match.
        pred_void: (Q,) int64, pixels of each predicted region that count for nothing.
    """
    union = overlaps.gt_areas[overlaps.gt] + (overlaps.pred_areas - pred_void)[overlaps.pred] - overlaps.shared
    hit = same & (2 * overlaps.shared > union)
    return Matches(overlaps.gt[hit], overlaps.pred[hit], overlaps.shared[hit], union[hit])


def false_alarms(overlaps: Overlaps, matches: Matches, pred_void: np.ndarray) -> np.ndarray:
    """(Q,) bool: predicted regions that match nothing. One with more than half of its pixels on void is excused."""
    alarms = (overlaps.pred_areas > 0) & (2 * pred_void <= overlaps.pred_areas)
    alarms[matches.pred] = False
    return alarms


def count_panoptic(overlaps: Overlaps, gt_fine: np.ndarray, pred_fine: np.ndarray,
                   num_fine: int) -> tuple[np.ndarray, np.ndarray]:
    """Count what panoptic quality needs, with every region a segment of its fine class.

    Ground-truth regions without a fine label are void here.

    Args:
        overlaps: The overlaps of one picture.
        gt_fine: (R,) int64 fine labels, -1 unknown.
        pred_fine: (Q,) int64 fine labels.
        num_fine: Number K of fine classes.

    Returns:
        True positives (T, 3) int64, each as fine label, pixels of the intersection, pixels of the union; and
        errors (2, K) int64, the false positives and the false negatives of each fine class.
    """
    unnamed = gt_fine[overlaps.gt] < 0
    pred_void = overlaps.pred_void + _sum_by(overlaps.pred[unnamed], overlaps.shared[unnamed], len(pred_fine))
    # An unnamed region (-1) equals no prediction, whose labels are 0 and above.
    matches = match_regions(overlaps, gt_fine[overlaps.gt] == pred_fine[overlaps.pred], pred_void)
    missed = (overlaps.gt_areas > 0) & (gt_fine >= 0)
    missed[matches.gt] = False
    errors = np.stack([
        np.bincount(pred_fine[false_alarms(overlaps, matches, pred_void)], minlength=num_fine),
        np.bincount(gt_fine[missed], minlength=num_fine),
    ])
    return np.stack([gt_fine[matches.gt], matches.shared, matches.union], axis=1), errors


def panoptic_quality(true_positives: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Panoptic quality: the sum of the IoUs of true positives over their number plus half the number of errors.

    Args:
        true_positives: (T, 3) int64 of :func:`count_panoptic`, of all pictures.
        errors: (2, K) int64 of the same, summed over all pictures.

    Returns:
        (K,) float64 from 0 to 1, NaN for fine classes in neither ground truth nor prediction.
    """
    fine, shared, union = true_positives.T
    # fsum is exact, so that the order of the pictures cannot show in the last digit.
    ious = np.array([math.fsum((shared / union)[fine == k]) for k in range(errors.shape[1])])
    segments = np.bincount(fine, minlength=errors.shape[1]) + errors.sum(axis=0) / 2
    return np.divide(ious, segments, out=np.full(len(ious), np.nan), where=segments > 0)


def count_pixels(gt: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each class in both maps, in the ground truth and in the prediction.

    Args:
        gt: (H, W) integers, labels 0 to ``num_classes - 1``; ``num_classes`` for pixels to ignore.
        pred: (H, W) integers, labels 0 to ``num_classes - 1``; ``num_classes`` for pixels that got no name: they miss
            the ground truth's class and are a false alarm of none.
        num_classes: Number of classes.

    Returns:
        (3, num_classes) int64: intersection, ground truth, prediction.
    """
    width = num_classes + 1
    table = np.bincount((gt * width + pred).ravel(), minlength=width * width).reshape(width, width)[:-1]
    return np.stack([np.diagonal(table), table.sum(axis=1), table.sum(axis=0)[:-1]])


def rank_labels(scores: Optional[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Place of each row's label when its scores are sorted downwards.

    Equal scores are placed by their class index, as argmax does. A row of NaN puts its label behind all K classes.

    Args:
        scores: (R, K) floats; None for no scores.
        labels: (R,) int64, -1 unknown.

    Returns:
        (R,) int64 from 0, -1 where the label is unknown or there are no scores.
    """
    if scores is None or not scores.size:
        return np.full(len(labels), -1, np.int64)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = (~(scores <= own) | ((scores == own) & earlier)).sum(axis=1)
    return np.where(labels < 0, -1, rank)


def _sum_by(index: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    total = np.zeros(size, np.int64)
    np.add.at(total, index, values)
    return total
