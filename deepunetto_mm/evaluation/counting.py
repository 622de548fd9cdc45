"""The counts of the metrics in a picture: panoptic errors, pixels, ranks of labels."""

import math
from typing import Mapping, Optional, Sequence

import numpy as np

from deepunetto_mm.ops import Matches, Overlaps, match_regions, sum_by


def encode_labels(label_map: np.ndarray, count: int, ignore_index: int) -> np.ndarray:
    """Replace the ignored pixels of a label map by the label ``count``.

    Args:
        label_map: (H, W) integers, labels 0 to ``count - 1`` and ``ignore_index``.
        count: Number of labels.
        ignore_index: Value of the pixels to ignore.

    Returns:
        (H, W) int64 from 0 to ``count``.

    Raises:
        ValueError: If there is another value.
    """
    codes = np.where(label_map == ignore_index, count, label_map.astype(np.int64))
    wrong = (codes < 0) | (codes > count) | ((codes == count) & (label_map != ignore_index))
    if wrong.any():
        raise ValueError(
            f'labels {np.unique(label_map[wrong])[:5].tolist()} are neither 0 to {count - 1} '
            f'nor ignore_index {ignore_index}'
        )
    return codes


def false_alarms(overlaps: Overlaps, matches: Matches, pred_void: np.ndarray) -> np.ndarray:
    """(Q,) bool: predicted regions without a match, except those with more than half of their pixels on void."""
    alarms = (overlaps.pred_areas > 0) & (2 * pred_void <= overlaps.pred_areas)
    alarms[matches.pred] = False
    return alarms


def count_panoptic(
    overlaps: Overlaps, gt_fine: np.ndarray, pred_fine: np.ndarray, num_fine: int
) -> tuple[np.ndarray, np.ndarray]:
    """The counts of panoptic quality, where every region is a segment of its fine class.

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
    pred_void = overlaps.pred_void + sum_by(overlaps.pred[unnamed], overlaps.shared[unnamed], len(pred_fine))
    # A region without a fine label (-1) equals no prediction, whose labels are 0 and above.
    matches = match_regions(overlaps, gt_fine[overlaps.gt] == pred_fine[overlaps.pred], pred_void)
    missed = (overlaps.gt_areas > 0) & (gt_fine >= 0)
    missed[matches.gt] = False
    errors = np.stack(
        [
            np.bincount(pred_fine[false_alarms(overlaps, matches, pred_void)], minlength=num_fine),
            np.bincount(gt_fine[missed], minlength=num_fine),
        ]
    )
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
    # fsum is exact, so the result does not depend on the order of the pictures.
    ious = np.array([math.fsum((shared / union)[fine == k]) for k in range(errors.shape[1])])
    segments = np.bincount(fine, minlength=errors.shape[1]) + errors.sum(axis=0) / 2
    return np.divide(ious, segments, out=np.full(len(ious), np.nan), where=segments > 0)


def count_pixels(gt: np.ndarray, pred: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each class in both maps, in the ground truth and in the prediction.

    Args:
        gt: (H, W) integers, labels 0 to ``num_classes - 1``; ``num_classes`` for pixels to ignore.
        pred: (H, W) integers, labels 0 to ``num_classes - 1``; ``num_classes`` for pixels without a name: these are
            misses of the ground truth's class, and false alarms of no class.
        num_classes: Number of classes.

    Returns:
        (3, num_classes) int64: intersection, ground truth, prediction.
    """
    width = num_classes + 1
    table = np.bincount((gt * width + pred).ravel(), minlength=width * width).reshape(width, width)[:-1]
    return np.stack([np.diagonal(table), table.sum(axis=1), table.sum(axis=0)[:-1]])


def number_categories(classes: Sequence[str], categories: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Number of each class's category.

    Args:
        classes: Names of the C classes.
        categories: Names of classes by category.

    Returns:
        (C + 1,) int64, from 0 for the first category; ``len(categories)`` for a class in no category, and
        ``len(categories) + 1`` in the last place, for ignored pixels (:func:`encode_labels`).

    Raises:
        ValueError: If a category has a name that is not a class.
    """
    numbers = np.full(len(classes) + 1, len(categories), np.int64)
    numbers[-1] += 1
    for number, (category, names) in enumerate(categories.items()):
        strangers = [name for name in names if name not in classes]
        if strangers:
            raise ValueError(f'category {category!r} has {strangers}, which are not classes; those are {list(classes)}')
        numbers[[classes.index(name) for name in names]] = number
    return numbers


def rank_labels(scores: Optional[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Rank of each row's label when its scores are sorted in descending order.

    Ties go to the lower class index, as in argmax. In a row of NaN the label is behind all K classes.

    Args:
        scores: (R, K) floats; None for no scores.
        labels: (R,) int64, -1 unknown.

    Returns:
        (R,) int64 from 0, -1 if the label is unknown or there are no scores.
    """
    if scores is None or not scores.size:
        return np.full(len(labels), -1, np.int64)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = (~(scores <= own) | ((scores == own) & earlier)).sum(axis=1)
    return np.where(labels < 0, -1, rank)
