"""Decode heads."""

from .pixel_weighted_head import PixelWeightedHead
from .unet_decoder import UNetDecoder

__all__ = ['PixelWeightedHead', 'UNetDecoder']
