"""Segments separated by borders, and the agreement of two partitions of a picture."""

import math

import numpy as np
from scipy import ndimage


def connected_segments(cells: np.ndarray) -> np.ndarray:
    """Number the segments that the borders enclose.

    Args:
        cells: (H, W) bool, False on borders.

    Returns:
        (H, W) int32: 0 on borders, and the components from 1. They use 4 neighbours: 8 would cross a diagonal border of
        one pixel.
    """
    return ndimage.label(cells)[0].astype(np.int32)


def thinned_segments(cells: np.ndarray) -> np.ndarray:
    """Number the segments that the borders enclose, grown until the borders are one pixel wide.

    A watershed of a constant picture: all components (4 neighbours) grow at the same speed, and a line remains where
    two of them meet. A border with the same segment on both sides vanishes.

    Args:
        cells: (H, W) bool, False on borders.

    Returns:
        (H, W) int32: 0 on the lines, segments from 1. A picture of only border is one segment.
    """
    from skimage.segmentation import watershed  # optional

    seeds = connected_segments(cells)
    if not seeds.any():
        return np.ones_like(seeds)
    return watershed(np.zeros(seeds.shape, np.uint8), seeds, connectivity=1, watershed_line=True)


def compare_segments(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """V_rand and V_info, the agreement of two partitions on the pixels that have a true segment.

    With the joint distribution p_ij of true and predicted segments, and its margins t_i and s_j::

        V_rand = sum p_ij^2 / ((sum t_i^2 + sum s_j^2) / 2)        V_info = I(T; S) / ((H(T) + H(S)) / 2)

    Both are the harmonic mean of a score for splits and one for mergers.

    Args:
        truth: (H, W) integers from 0; pixels of 0 are not counted.
        predicted: (H, W) integers from 0. Pixels of 0, on a line, are each a separate segment, so a line on a true cell
            reduces the score.

    Returns:
        Two numbers from 0 to 1. If both partitions have one segment, V_info is 1, because they are equal. Without a
        true segment both are NaN.
    """
    inside = truth > 0
    count = int(inside.sum())
    if not count:
        return math.nan, math.nan
    width = int(predicted.max()) + 1
    pairs, areas = np.unique(truth[inside].astype(np.int64) * width + predicted[inside], return_counts=True)
    on_line = pairs % width == 0
    alone = int(areas[on_line].sum())
    # Of the single pixels only the number matters.
    shared = areas[~on_line]
    of_truth = np.bincount(pairs // width, areas)
    of_predicted = np.bincount(pairs[~on_line] % width, shared)

    true_pairs, predicted_pairs, shared_pairs = (
        _square_sum(of_truth),
        _square_sum(of_predicted) + alone,
        _square_sum(shared) + alone,
    )
    v_rand = 2 * shared_pairs / (true_pairs + predicted_pairs)

    # Entropies times the number of pixels, which cancels. A single pixel adds 1 * log(1) = 0 to these sums.
    whole = count * math.log(count)
    h_truth, h_predicted, h_joint = (whole - _log_sum(areas) for areas in (of_truth, of_predicted, shared))
    if not h_truth + h_predicted > 0:
        return v_rand, 1.0
    # Rounding may give a value slightly outside 0 to 1.
    return v_rand, min(max(2 * (h_truth + h_predicted - h_joint) / (h_truth + h_predicted), 0.0), 1.0)


def _square_sum(areas: np.ndarray) -> int:
    # Integers: a sum of squares of floats would depend on the order of the segments.
    return int(np.square(areas.astype(np.int64)).sum())


def _log_sum(areas: np.ndarray) -> float:
    # fsum is exact, for the same reason.
    return math.fsum(area * math.log(area) for area in areas.tolist() if area)
