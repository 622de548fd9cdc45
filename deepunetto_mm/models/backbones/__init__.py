"""Backbones."""

from .efficientnet_lite0_weights import EfficientNetLite0Weights
from .luminance_backbone import LuminanceBackbone

__all__ = ['EfficientNetLite0Weights', 'LuminanceBackbone']
