"""Luminance of RGB pictures, the input of the rods."""

import torch
from torch import Tensor

LUMA_WEIGHTS = {
    'bt709': (0.2126, 0.7152, 0.0722),  # Rec. ITU-R BT.709-6
    'bt601': (0.299, 0.587, 0.114),  # Rec. ITU-R BT.601-7
}
#: The signals of :func:`luminance`.
SIGNALS = (*LUMA_WEIGHTS, 'linear_light', 'lightness')


def luminance(rgb: Tensor, signal: str = 'bt709') -> Tensor:
    """Luma, luminance or lightness of 8-bit-scaled RGB.

    ===================  =============================================================================================
    ``'bt709'``          luma: weighted sum of the encoded values, as in video standards
    ``'bt601'``          the same with the weights of an older standard, which OpenCV and Pillow use
    ``'linear_light'``   luminance: weighted sum by BT.709 in linear light, then encoded again
                         (IEC 61966-2-1)
    ``'lightness'``      L* of CIE 1976, from 0 to 100, of that luminance for D65 white, times 2.55: equal steps look
                         equally large
    ===================  =============================================================================================

    Args:
        rgb: (N, 3, H, W) float, gamma-encoded sRGB from 0 to 255, channels in the order R, G, B.
        signal: One of :data:`SIGNALS`.

    Returns:
        (N, 1, H, W) float, from 0 to 255. A grey picture (R = G = B) keeps its value, except for ``'lightness'``, which
        maps 127.5 to 136.1.

    Raises:
        ValueError: If there is no such signal.
    """
    if signal not in SIGNALS:
        raise ValueError(f'signal must be one of {SIGNALS}, got {signal!r}')
    weights = rgb.new_tensor(LUMA_WEIGHTS.get(signal, LUMA_WEIGHTS['bt709'])).view(1, 3, 1, 1)
    if signal in LUMA_WEIGHTS:
        return (rgb * weights).sum(1, keepdim=True)
    # Interpolated or padded pictures overshoot slightly; a negative base would turn the power into NaN.
    encoded = (rgb / 255).clamp(0, 1)
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light = (linear * weights).sum(1, keepdim=True)
    # clamp, because torch.where would pass on the NaN gradient: the slope of a root at 0 is infinite.
    if signal == 'lightness':
        root = 116 * light.clamp(min=1e-3) ** (1 / 3) - 16
        return 2.55 * torch.where(light <= 216 / 24389, light * 24389 / 27, root)
    root = 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055
    return 255 * torch.where(light <= 0.0031308, light * 12.92, root)
