"""Removal of the colour of the light."""

import numpy as np

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform
from deepunetto_mm.utils.white_patch import adapt_to_white


@TRANSFORMS.register_module()
class ChromaticAdaptation(Transform):
    """Scale each channel separately, so that the brightest part of the picture becomes white.

    Cones in the eye do so (von Kries, 1902): each type adapts to the light that it receives, so paper is white under a
    yellow lamp. Using the brightest part as white is the white-patch rule (Land and McCann, *Lightness and Retinex
    Theory*, JOSA 1971). It suits pictures with a bright colourless background, such as stained smears under a
    microscope, not pictures whose brightest object is coloured.

    Use it directly after ``LoadImageFromFile``, in training and test: padding would change the percentile.
    Pixels do not move.

    Required keys: ``img`` (H, W, C) or (H, W) uint8. Modified keys: ``img``.

    Args:
        percentile: This percentile of a channel becomes 255, and so do higher values. Below 100, because a few specks
            of dust or noise may be brighter than the background.

    Raises:
        ValueError: If the percentile is not above 0 and at most 100, or a picture is not of 8 bits.
    """

    def __init__(self, percentile: float = 95.0) -> None:
        if not 0 < percentile <= 100:
            raise ValueError(f'ChromaticAdaptation: percentile must be above 0 and at most 100, got {percentile}')
        self.percentile = percentile

    def transform(self, results: dict) -> dict:
        """Scale the channels of ``img``."""
        image = results['img']
        if image.dtype != np.uint8:
            raise ValueError(
                f'ChromaticAdaptation needs pictures of 8 bits, {results.get("img_path")} is {image.dtype}; put it '
                'directly after LoadImageFromFile, without to_float32'
            )
        results['img'] = adapt_to_white(image, self.percentile)
        return results
