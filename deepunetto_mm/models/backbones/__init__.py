"""Backbones."""

from .efficientnet_lite0_weights import EfficientNetLite0Weights
from .luminance_backbone import LuminanceBackbone
from .unet2015_encoder import UNet2015Encoder

__all__ = ['EfficientNetLite0Weights', 'LuminanceBackbone', 'UNet2015Encoder']
