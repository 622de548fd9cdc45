"""Regions cut into objects, on the host: at their necks, and along borders.

:mod:`deepunetto_mm.runtime` shares this code, so it needs numpy, OpenCV, SciPy and scikit-image alone; the last two are
imported when a region is cut.
"""

import math
from typing import Sequence

import cv2
import numpy as np


def cut_at_necks(mask: np.ndarray, neck_ratio: float, min_area: int = 1) -> np.ndarray:
    """Cut a region where it is narrow, as ``DistanceWatershed`` says.

    Args:
        mask: (h, w) bool, one connected region, in its box or in more.
        neck_ratio: Above 0 and below 1. The smaller, the narrower the necks that are cut.
        min_area: Parts of fewer pixels are given to their neighbours, the smallest first.

    Returns:
        (h, w) int32: 0 outside, and parts numbered from 1; 1 alone where there is nothing to cut.
    """
    from scipy.ndimage import distance_transform_edt  # optional

    # Not OpenCV's: the same mask does not always give the same bits.
    radius = distance_transform_edt(np.pad(mask.astype(np.int32), 1))
    # A neck's radius is 1 at least: what is thinner than this has no neck. It spares most of the small regions.
    if neck_ratio * radius.max() <= 2:
        return mask.astype(np.int32)
    return flood(-radius, _seeds(radius, neck_ratio), radius > 0, min_area)[1:-1, 1:-1]


def cut_at_borders(
    mask: np.ndarray, border: np.ndarray, threshold: float, min_seed: int, min_area: int = 1
) -> np.ndarray:
    """Cut a region along a border, as ``BorderWatershed`` says.

    Args:
        mask: (h, w) bool, one connected region, in its box.
        border: (h, w) float32, logits of a border.
        threshold: Probability, above 0 and below 1: where it is higher there is a border.
        min_seed: Seeds of fewer pixels are left out.
        min_area: Parts of fewer pixels are given to their neighbours, the smallest first.

    Returns:
        As of :func:`cut_at_necks`.
    """
    # Logits, not probabilities: a sigmoid has other last bits in each library, and is 1 for all high logits.
    seeds = mask & (border <= math.log(threshold / (1 - threshold)))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(seeds.astype(np.uint8), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= min_seed
    kept[0] = False  # pixels outside of seeds
    return flood(border, (kept.cumsum() * kept)[numbers], mask, min_area)


def _seeds(radius: np.ndarray, neck_ratio: float) -> np.ndarray:
    """The peaks that are objects, (h, w) int32 numbered from 1."""
    from skimage.morphology import local_maxima, reconstruction  # optional

    # Every pixel sends out the radius below which a neck would cut it off; it passes where the region is as wide. A
    # peak remains a maximum unless as much arrives from a higher one, through a neck that is too wide to be cut.
    cut_off = np.maximum(neck_ratio * radius - 1, 0)
    reached = reconstruction(cut_off, radius, footprint=np.ones((3, 3)))
    return cv2.connectedComponents(local_maxima(reached, connectivity=2).astype(np.uint8))[1]


def flood(height: np.ndarray, seeds: np.ndarray, mask: np.ndarray, min_area: int = 1) -> np.ndarray:
    """Grow seeds into the parts of a region, by a watershed.

    Args:
        height: (h, w) float; the lowest pixels are flooded first.
        seeds: (h, w) integers, seeds numbered from 1 without gaps.
        mask: (h, w) bool, the region.
        min_area: Parts of fewer pixels are given to their neighbours, the smallest first.

    Returns:
        (h, w) int32: 0 outside, and parts numbered from 1; 1 alone where fewer than two seeds are left.
    """
    from scipy.ndimage import find_objects  # optional
    from skimage.segmentation import watershed  # optional

    count = int(seeds.max(initial=0))
    if count < 2:
        return mask.astype(np.int32)
    seeds = seeds.astype(np.int32)
    parts = watershed(height, seeds, connectivity=2, mask=mask)
    areas = np.bincount(parts.ravel(), minlength=count + 1).astype(float)
    areas[0] = np.inf  # of what is no part, or not one anymore
    boxes = [(slice(0), slice(0)), *find_objects(parts)]
    for _ in range(count - 1):
        # One at a time: what the smallest gives away may make another one large enough.
        smallest = int(areas.argmin())
        if areas[smallest] >= min_area:
            break
        areas[smallest] = np.inf
        # Without its seed only its own pixels change, and only to parts that touch it: those alone are flooded again.
        window = parts[tuple(slice(max(own.start - 1, 0), own.stop + 1) for own in boxes[smallest])]
        around = cv2.dilate((window == smallest).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        touching = np.setdiff1d(window[around], (0, smallest))
        box = _common_box([boxes[part] for part in (smallest, *touching)])
        for part in touching:
            boxes[part] = _common_box([boxes[part], boxes[smallest]])
        given, others = parts[box] == smallest, np.isin(parts[box], touching)
        seeds[box][given] = 0
        flooded = watershed(height[box], seeds[box] * others, connectivity=2, mask=given | others)[given]
        parts[box][given] = flooded
        areas += np.bincount(flooded, minlength=count + 1)
    left = np.isfinite(areas)
    return (left.cumsum(dtype=np.int32) * left)[parts]


def _common_box(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    return tuple(slice(min(own.start for own in axis), max(own.stop for own in axis)) for axis in zip(*boxes))
