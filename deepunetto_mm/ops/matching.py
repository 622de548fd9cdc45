"""Which regions of two region maps are the same object."""
import numpy as np

from .regions import PADDING_ID


def match_regions(pred_map: np.ndarray, pred_ids: np.ndarray, pred_labels: np.ndarray, gt_map: np.ndarray, gt_ids: np.ndarray,
                  gt_labels: np.ndarray) -> np.ndarray:
    """Match predicted to ground-truth regions of the same group at a mask IoU above one half.

    Above one half the match is unique (Kirillov et al., *Panoptic Segmentation*, CVPR 2019), so no assignment is solved.

    Args:
        pred_map: (H, W) integers, region ids; 0 and :data:`PADDING_ID` are no region. ``gt_map`` likewise.
        pred_ids: (R,) ascending. ``gt_ids`` likewise, (Q,).
        pred_labels: (R,) groups. ``gt_labels`` likewise, (Q,).

    Returns:
        (R,) int64, the position in ``gt_ids`` of each predicted region's match, or -1.
    """
    matches = np.full(len(pred_ids), -1, np.int64)
    if not len(pred_ids) or not len(gt_ids):
        return matches
    pred, gt = _positions(pred_map, pred_ids), _positions(gt_map, gt_ids)
    columns = len(gt_ids) + 1
    pairs, counts = np.unique(pred * columns + gt, return_counts=True)
    rows, cols = np.divmod(pairs, columns)
    pred_area = np.bincount(rows, counts, minlength=len(pred_ids) + 1)
    gt_area = np.bincount(cols, counts, minlength=columns)
    # 2 * intersection > union, in whole numbers: an IoU of exactly one half is no match.
    matched = (rows > 0) & (cols > 0) & (2 * counts > pred_area[rows] + gt_area[cols] - counts)
    rows, cols = rows[matched] - 1, cols[matched] - 1
    same = pred_labels[rows] == gt_labels[cols]
    matches[rows[same]] = cols[same]
    return matches


def _positions(region_map: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Position of each pixel's id in ``ids``, counted from 1; 0 where there is no region."""
    index = np.searchsorted(ids, region_map).clip(max=len(ids) - 1)
    return np.where((ids[index] == region_map) & (region_map != PADDING_ID), index + 1, 0)
