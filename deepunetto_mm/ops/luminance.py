"""Luminance of RGB pictures: what the rods see."""

import torch
from torch import Tensor

LUMA_WEIGHTS = {
    'bt709': (0.2126, 0.7152, 0.0722),  # Rec. ITU-R BT.709-6
    'bt601': (0.299, 0.587, 0.114),  # Rec. ITU-R BT.601-7
}


def luminance(rgb: Tensor, standard: str = 'bt709', linear_light: bool = False) -> Tensor:
    """Luma, or gamma-encoded luminance, of 8-bit-scaled RGB.

    Args:
        rgb: (N, 3, H, W) float, gamma-encoded sRGB from 0 to 255, channels in the order R, G, B.
        standard: Weights of the channels, a key of :data:`LUMA_WEIGHTS`.
        linear_light: Weigh the channels in linear light, as light itself adds up, and encode the sum again
            (IEC 61966-2-1); by default the encoded values are weighed, as video standards do.

    Returns:
        (N, 1, H, W) float, from 0 to 255; a grey picture (R = G = B) keeps its value in every mode.
    """
    weights = rgb.new_tensor(LUMA_WEIGHTS[standard]).view(1, 3, 1, 1)
    if not linear_light:
        return (rgb * weights).sum(1, keepdim=True)
    # Interpolated or padded pictures overshoot slightly; a negative base would turn the power into NaN.
    encoded = (rgb / 255).clamp(0, 1)
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light = (linear * weights).sum(1, keepdim=True)
    # clamp: the slope of the power at 0 is infinite, and torch.where would pass on its NaN gradient.
    root = 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055
    return 255 * torch.where(light <= 0.0031308, light * 12.92, root)
