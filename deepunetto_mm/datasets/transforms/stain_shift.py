"""Changes of the strengths of stains."""

import cv2
import numpy as np

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform

# Optical densities of R, G and B: haematoxylin, eosin, and a third (DAB), which takes what these two do not explain.
_DENSITIES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


@TRANSFORMS.register_module()
class StainShift(Transform):
    """Make stains stronger or weaker, as another laboratory would.

    Colour deconvolution (Ruifrok and Johnston, *Quantification of histochemical staining by color deconvolution*,
    2001): the optical density -log(I / white) of a pixel is a sum of those of the stains. Their amounts are multiplied,
    and the picture is composed again. White stays white. Blue dyes of blood smears are near haematoxylin.

    Use it directly after ``LoadImageFromFile``, before :class:`ChromaticAdaptation`. Pixels do not move.

    Required keys: ``img`` (H, W, 3) uint8, channels in the order B, G, R. Modified keys: ``img``.

    Args:
        stain: Factor of all amounts; it is the exponent of a gamma curve.
        haematoxylin: Factor of the blue stain, beside ``stain``.
        eosin: Factor of the pink stain, beside ``stain``.

    Raises:
        ValueError: If a factor is not finite or negative, or a picture is not of 8 bits and three channels.
    """

    def __init__(self, stain: float = 1.0, haematoxylin: float = 1.0, eosin: float = 1.0) -> None:
        for name, factor in dict(stain=stain, haematoxylin=haematoxylin, eosin=eosin).items():
            if not (np.isfinite(factor) and factor >= 0):
                raise ValueError(f'StainShift: {name} must be a factor of at least 0, got {factor}')
        self.stain = stain
        self.haematoxylin = haematoxylin
        self.eosin = eosin
        factors = stain * np.diag([haematoxylin, eosin, 1.0])
        rgb = (np.linalg.inv(_DENSITIES) @ factors @ _DENSITIES).T
        self._matrix = rgb[::-1, ::-1].astype(np.float32)  # of B, G, R

    def transform(self, results: dict) -> dict:
        """Change the stains of ``img``."""
        image = self.colours(results, 'put it directly after LoadImageFromFile,')
        # One more, so that black has a density.
        density = -np.log((image.astype(np.float32) + 1) / 256)
        shifted = 256 * np.exp(-cv2.transform(density, self._matrix)) - 1
        results['img'] = np.rint(shifted).clip(0, 255).astype(np.uint8)
        return results
