"""Changes of colour and brightness, for tests."""

import cv2
import numpy as np

from deepunetto_mm.ops import LUMA_WEIGHTS
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform


@TRANSFORMS.register_module()
class ColourShift(Transform):
    """Change the hue, saturation, brightness, contrast or tint, by the same amount in every picture.

    Each option tests one thing. Hue and saturation keep the luma Y (BT.709), except for rounding and for colours that
    leave 0..255 and are clipped: in the plane of the colour differences (R - Y, B - Y), the hue is an
    angle and the saturation a radius. They are ``hue-rotate()``, ``saturate()``, ``brightness()`` and ``contrast()`` of
    the W3C's *Filter Effects Module Level 1*, on encoded values, in this order. A change of H in HSV would also change
    the brightness (red, of luma 54, becomes green, of 182), so a loss could come from either.

    By construction, hue and saturation do not change luminance: they measure the loss of cones, or of rods that see
    colour.

    Use it directly after ``LoadImageFromFile``, or first if the dataset generates its pictures: the light changes
    before the eye adapts to it (:class:`ChromaticAdaptation`). Pixels do not move.

    Required keys: ``img`` (H, W, 3) uint8, channels in the order B, G, R. Modified keys: ``img``.

    Args:
        hue: Angle in degrees; red turns towards green, green towards blue.
        saturation: Factor of the colour differences: 0 is grey, 1 changes nothing.
        brightness: Factor of the values; 0.5 is about a fifth of the light, because they are gamma-encoded.
        contrast: Factor of the differences from the middle grey, 127.5.
        tint: Factor of blue, last of all: below 1, the light is yellow.

    Raises:
        ValueError: If an option is not finite or a factor negative, or a picture is not of 8 bits and three channels.
    """

    def __init__(
        self,
        hue: float = 0.0,
        saturation: float = 1.0,
        brightness: float = 1.0,
        contrast: float = 1.0,
        tint: float = 1.0,
    ) -> None:
        if not np.isfinite(hue):
            raise ValueError(f'ColourShift: hue must be an angle in degrees, got {hue}')
        factors = dict(saturation=saturation, brightness=brightness, contrast=contrast, tint=tint)
        for name, factor in factors.items():
            if not (np.isfinite(factor) and factor >= 0):
                raise ValueError(f'ColourShift: {name} must be a factor of at least 0, got {factor}')
        self.hue = hue
        self.saturation = saturation
        self.brightness = brightness
        self.contrast = contrast
        self.tint = tint
        luma = np.array(LUMA_WEIGHTS['bt709'])
        differences = np.stack([luma, [1, 0, 0] - luma, [0, 0, 1] - luma])  # RGB to Y, R - Y, B - Y
        cosine, sine = saturation * np.cos(np.deg2rad(hue)), saturation * np.sin(np.deg2rad(hue))
        turn = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
        rgb = contrast * brightness * np.linalg.inv(differences) @ turn @ differences
        light = [[tint], [1], [1]]  # of B, G, R, as all that follows
        self._matrix = np.hstack([rgb[::-1, ::-1], np.full((3, 1), 127.5 * (1 - contrast))]) * light

    def transform(self, results: dict) -> dict:
        """Change the colours of ``img``."""
        image = self.colours(results, 'put it directly after LoadImageFromFile,')
        # In floats: OpenCV's integer arithmetic is one level off in every fiftieth value.
        shifted = cv2.transform(image.astype(np.float32), self._matrix.astype(np.float32))
        results['img'] = np.rint(shifted).clip(0, 255).astype(np.uint8)
        return results
