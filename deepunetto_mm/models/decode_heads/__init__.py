"""Decode heads."""

from .unet2015_head import UNet2015Head
from .unet_decoder import UNetDecoder

__all__ = ['UNet2015Head', 'UNetDecoder']
