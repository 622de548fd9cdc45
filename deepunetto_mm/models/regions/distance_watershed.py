"""Separation of touching objects where they are narrow."""

from importlib.util import find_spec
from typing import Optional

import numpy as np
from torch import nn

from deepunetto_mm.registry import MODELS
from deepunetto_mm.utils.necks import cut_at_necks


@MODELS.register_module()
class DistanceWatershed(nn.Module):
    """Cut a region at its necks, by a watershed on the distance to its outside.

    The *radius* at a pixel is its distance to the nearest pixel outside the region; outside the picture counts as such.
    Where two objects touch, a neck lies between two wide parts: on the widest way from one to the other, it is where
    the radius is least. They are two objects if::

        radius at the neck + 1 pixel  <  neck_ratio * the smaller one of the parts' greatest radii

    This does not depend on the scale, except for the pixel, which is the error of distances on a grid. Convex shapes
    stay whole, whatever their size and the ratio, and so do objects that are a few pixels thin.

    It helps where objects are compact and overlap little, as cells do: two equal disks are parted if their centres are
    further apart than ``sqrt(1 - neck_ratio ** 2)`` diameters, 0.71 by default, and a little more for the pixel. Bars,
    rings and crosses are as wide everywhere: they stay whole, but so do two of them that share more than a neck. It
    hurts where one object has a waist or limbs, as people and bicycles do, where something in front leaves it thin in
    the middle, or where its mask has gaps; and it cannot help where the outline shows no neck, as of cars one behind
    the other.

    Args:
        neck_ratio: Above 0 and below 1. The smaller, the narrower the necks that are cut.
        min_area: Parts of fewer pixels are given to their neighbours, the smallest first. None for the least area of a
            region of that group, which the proposer gives.

    Raises:
        ValueError: If ``neck_ratio`` is out of range, or scikit-image is not installed.
    """

    def __init__(self, neck_ratio: float = 0.7, min_area: Optional[int] = None) -> None:
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

    def forward(self, mask: np.ndarray, least: int = 1) -> np.ndarray:
        """The parts of a region, as :func:`~deepunetto_mm.utils.necks.cut_at_necks` finds them.

        Args:
            mask: (h, w) bool, one connected region, in its box or in more.
            least: Takes the place of ``min_area``, where that is None.

        Returns:
            (h, w) int32: 0 outside, and parts numbered from 1; 1 alone where there is nothing to cut.
        """
        return cut_at_necks(mask, self.neck_ratio, least if self.min_area is None else self.min_area)
