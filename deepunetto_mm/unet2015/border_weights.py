"""How much each pixel counts in a loss: more between neighbouring objects, and more in rare classes.

Ronneberger, Fischer and Brox, *U-Net: Convolutional Networks for Biomedical Image Segmentation* (MICCAI 2015), weigh a
pixel x by ``w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 * sigma^2))``, such that the network learns the thin gaps between
cells: :func:`class_balance` is the first term, :func:`border_weights` the second.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from deepunetto_mm.ops.regions import PADDING_ID, tabulate_regions

#: What is smaller becomes 0 in float32: half of its smallest number above 0.
_UNDERFLOW = 2.0**-150


def border_weights(region_map: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """The weight ``w0 * exp(-(d1 + d2)^2 / (2 * sigma^2))`` of each pixel.

    d1 and d2 are the distances, in pixels between centres, to the border of the nearest and of the second nearest
    region. The border of a region are its pixels with one of their 4 neighbours in no region or in another one. The
    edge of the picture and of the padding are no border, since nobody knows whether the region ends there.

    As in the paper's formula, x is any pixel, on the ground or in a region. Only pixels of the ground can teach the
    network to part two regions of one class: where such regions touch, the mask needs a gap of a pixel or two between
    them, which the paper draws in beforehand.

    The weights are exact: each region is looked at within so many pixels (14.5 sigma for a w0 of 10) that what is left
    out is 0 in float32.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 on the ground, :data:`PADDING_ID` outside the
            picture. Pixels of one id are one region, connected or not.
        w0: Weight where two borders meet, 0 or more.
        sigma: How fast the weight falls with distance, in pixels.

    Returns:
        (H, W) float32, from 0 to ``w0``: 0 in the padding, and 0 everywhere for less than two regions.

    Raises:
        ValueError: If the map is not two-dimensional or has no integers, ``w0`` is negative, or ``sigma`` not positive.
    """
    if region_map.ndim != 2 or region_map.dtype.kind not in 'iu':
        raise ValueError(
            f'a region map has shape (H, W) and integers, got shape {region_map.shape} and {region_map.dtype}'
        )
    if not 0 <= w0 < math.inf or not 0 < sigma < math.inf:
        raise ValueError(f'w0 must be at least 0 and sigma above 0, both finite; got w0={w0} and sigma={sigma}')
    nearest = np.full(region_map.shape, np.inf, np.float32)
    second = nearest.copy()
    if w0 > _UNDERFLOW:
        # d1 + d2 is at least d2: farther than this from the second region, the weight is 0.
        reach = sigma * math.sqrt(2 * math.log(w0 / _UNDERFLOW))
        border_map = np.where(_is_border(region_map), region_map, 0)
        ids, boxes, _ = tabulate_regions(border_map)
        for region, (x1, y1, x2, y2) in zip(ids, boxes.astype(float)):
            window = np.s_[
                max(math.floor(y1 - reach), 0) : math.ceil(min(y2 + reach, region_map.shape[0])),
                max(math.floor(x1 - reach), 0) : math.ceil(min(x2 + reach, region_map.shape[1])),
            ]
            elsewhere = (border_map[window] != region).astype(np.uint8)
            distance = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            second[window] = np.minimum(second[window], np.maximum(nearest[window], distance))
            nearest[window] = np.minimum(nearest[window], distance)
    total = _exact(nearest) + _exact(second)
    weights = w0 * np.exp(-(total**2) / (2 * sigma**2))
    weights[region_map == PADDING_ID] = 0
    return weights.astype(np.float32)


def class_balance(label_map: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """The weight of each pixel that makes all classes of a picture count the same.

    Args:
        label_map: (H, W) integers.
        ignore_index: Label of the pixels that count for nothing.

    Returns:
        (H, W) float32: ``N / (C * n)`` for a class with n of the picture's N labelled pixels, where C classes are
        present, so that the mean over the labelled pixels is 1; 0 at ignored pixels.
    """
    labels, position, counts = np.unique(label_map, return_inverse=True, return_counts=True)
    counts = np.where(labels == ignore_index, 0, counts)
    with np.errstate(divide='ignore', invalid='ignore'):
        weights = np.where(counts > 0, counts.sum() / (np.count_nonzero(counts) * counts), 0)
    return weights.astype(np.float32)[position].reshape(label_map.shape)


def _is_border(region_map: np.ndarray) -> np.ndarray:
    """Pixels of regions beside something else than their own region, padding aside; (H, W) bool."""
    border = np.zeros(region_map.shape, bool)
    known = region_map != PADDING_ID
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (region_map[one] != region_map[other]) & known[one] & known[other]
        border[one] |= differ
        border[other] |= differ
    return border & (region_map != 0)


def _exact(distance: np.ndarray) -> np.ndarray:
    """Distances in float64. Squared they are whole numbers, which float32 roots tell apart up to 2000 pixels."""
    return np.sqrt(np.rint(distance.astype(np.float64) ** 2))
