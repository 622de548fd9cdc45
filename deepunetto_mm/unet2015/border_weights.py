"""Weights of the pixels in a loss: higher between neighbouring objects, and higher in rare classes.

Ronneberger, Fischer and Brox, *U-Net: Convolutional Networks for Biomedical Image Segmentation* (MICCAI 2015), weight a
pixel x by ``w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 * sigma^2))``, so that the network learns the thin gaps between
cells: :func:`class_balance` is the first term, :func:`border_weights` the second.
"""

import math

import cv2
import numpy as np

from deepunetto_mm.ops import PADDING_ID, tabulate_regions

#: Smaller numbers become 0 in float32: half of its smallest positive number.
_UNDERFLOW = 2.0**-150


def border_weights(region_map: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """The weight ``w0 * exp(-(d1 + d2)^2 / (2 * sigma^2))`` of each pixel.

    d1 and d2 are the distances, in pixels between centres, to the border of the nearest and of the second nearest
    region. The border of a region consists of its pixels with one of their 4 neighbours in no region or in another one.
    The edge of the picture and of the padding is not a border, because the region may continue there.

    As in the paper's formula, x is any pixel, in the background or in a region. Only background pixels can teach the
    network to separate two regions of one class: if such regions touch, the mask needs a gap of a pixel or two between
    them, which the paper draws beforehand.

    The weights are exact: each region affects pixels up to a distance (14.5 sigma for a w0 of 10) beyond which the
    weight is 0 in float32.

    Args:
        region_map: (H, W) integers, a region's id at its pixels, 0 in the background, :data:`PADDING_ID` outside the
            picture. Pixels of one id are one region, connected or not.
        w0: Weight where two borders meet, at least 0.
        sigma: How fast the weight falls with distance, in pixels.

    Returns:
        (H, W) float32, from 0 to ``w0``: 0 in the padding, and 0 everywhere for fewer than two regions.

    Raises:
        ValueError: If the map is not two-dimensional or has no integers, ``w0`` is negative, or ``sigma`` not positive.
    """
    if region_map.ndim != 2 or region_map.dtype.kind not in 'iu':
        raise ValueError(
            f'a region map must have shape (H, W) and integers, got shape {region_map.shape} and {region_map.dtype}'
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
    """Pixel weights that give all classes of a picture the same total weight.

    Args:
        label_map: (H, W) integers.
        ignore_index: Label of the pixels that weigh 0.

    Returns:
        (H, W) float32: ``N / (C * n)`` for a class with n of the picture's N labelled pixels if C classes are present,
        so the mean over the labelled pixels is 1; 0 at ignored pixels.
    """
    labels, position, counts = np.unique(label_map, return_inverse=True, return_counts=True)
    counts = np.where(labels == ignore_index, 0, counts)
    with np.errstate(divide='ignore', invalid='ignore'):
        weights = np.where(counts > 0, counts.sum() / (np.count_nonzero(counts) * counts), 0)
    return weights.astype(np.float32)[position].reshape(label_map.shape)


def _is_border(region_map: np.ndarray) -> np.ndarray:
    """Pixels of regions with a neighbour outside their region, not counting padding; (H, W) bool."""
    border = np.zeros(region_map.shape, bool)
    known = region_map != PADDING_ID
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (region_map[one] != region_map[other]) & known[one] & known[other]
        border[one] |= differ
        border[other] |= differ
    return border & (region_map != 0)


def _exact(distance: np.ndarray) -> np.ndarray:
    """Distances in float64. Their squares are integers, which float32 roots distinguish up to 2000 pixels."""
    return np.sqrt(np.rint(distance.astype(np.float64) ** 2))
