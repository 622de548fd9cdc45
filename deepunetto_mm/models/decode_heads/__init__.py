"""Decode heads."""

from .pixel_weighted_head import PixelWeightedHead
from .unet2015_head import UNet2015Head
from .unet_decoder import UNetDecoder

__all__ = ['PixelWeightedHead', 'UNet2015Head', 'UNetDecoder']
