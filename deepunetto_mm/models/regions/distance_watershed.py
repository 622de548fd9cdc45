"""Separation of touching objects where they are narrow."""

from importlib.util import find_spec

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from torch import nn

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class DistanceWatershed(nn.Module):
    """Cut a region at its necks, by a watershed on the distance to its outside.

    The *radius* at a pixel is its distance to the nearest pixel outside the region; outside the picture counts as such.
    Where two objects touch, a neck lies between two wide parts: on the widest way from one to the other, it is where
    the radius is least. They are two objects if::

        radius at the neck + 1 pixel  <  neck_ratio * the smaller one of the parts' greatest radii

    This does not depend on the scale, except for the pixel: by so much distances on a grid are wrong. It keeps convex
    shapes whole, however large and whatever the ratio, and so it does things a few pixels thin.

    It helps where objects are compact and overlap little, as cells do: two equal disks are parted if their centres are
    further apart than ``sqrt(1 - neck_ratio ** 2)`` diameters, 0.71 by default, and a little more for the pixel. Bars,
    rings and crosses are as wide everywhere: they stay whole, but so do two of them that share more than a neck. It
    hurts where one object has a waist or limbs, as people and bicycles do, where something in front leaves it thin in
    the middle, or where its mask has gaps; and it cannot help where the outline shows no neck, as of cars one behind
    the other.

    Args:
        neck_ratio: Above 0 and below 1. The smaller, the narrower the necks that are cut.
        min_area: Parts of fewer pixels are given to their neighbours, the smallest first.

    Raises:
        ValueError: If ``neck_ratio`` is out of range, or scikit-image is not installed.
    """

    def __init__(self, neck_ratio: float = 0.7, min_area: int = 1) -> None:
        super().__init__()
        if not 0 < neck_ratio < 1:
            raise ValueError(f'DistanceWatershed: neck_ratio is above 0 and below 1, got {neck_ratio}')
        if not find_spec('skimage'):
            raise ValueError('DistanceWatershed needs the package scikit-image: install it, or leave the splitter out')
        self.neck_ratio = neck_ratio
        self.min_area = min_area

    def extra_repr(self) -> str:
        """The options, in the printed network."""
        return f'neck_ratio={self.neck_ratio}, min_area={self.min_area}'

    def forward(self, mask: np.ndarray) -> np.ndarray:
        """Find the parts of a region.

        Args:
            mask: (h, w) bool, one connected region, in its box or in more.

        Returns:
            (h, w) int32: 0 outside, and parts numbered from 1; 1 alone where there is nothing to cut.
        """
        # Not OpenCV's: the same mask does not always give the same bits.
        radius = distance_transform_edt(np.pad(mask.astype(np.int32), 1))
        # A neck's radius is 1 at least: what is thinner than this has no neck. It spares most of the small regions.
        if self.neck_ratio * radius.max() <= 2:
            return mask.astype(np.int32)
        return flood(-radius, self._seeds(radius), radius > 0, self.min_area)[1:-1, 1:-1]

    def _seeds(self, radius: np.ndarray) -> np.ndarray:
        """The peaks that are objects, (h, w) int32 numbered from 1."""
        from skimage.morphology import local_maxima, reconstruction  # optional

        # Every pixel sends out the radius below which a neck would cut it off; it passes where the region is as wide. A
        # peak remains a maximum unless as much arrives from a higher one, through a neck that is too wide to be cut.
        cut_off = np.maximum(self.neck_ratio * radius - 1, 0)
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
    from skimage.segmentation import watershed  # optional

    count = int(seeds.max(initial=0))
    seeds = seeds.astype(np.int32)
    while count > 1:
        parts = watershed(height, seeds, connectivity=2, mask=mask)
        areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        if areas.min() >= min_area:
            return parts
        # One at a time: what the smallest gives away may make another one large enough.
        smallest = areas.argmin() + 1
        seeds[seeds == smallest] = 0
        seeds[seeds > smallest] -= 1
        count -= 1
    return mask.astype(np.int32)
