"""Backbones."""

from .efficientnet_lite0_weights import EfficientNetLite0Weights
from .luminance_backbone import LuminanceBackbone
from .reduced_backbone import ReducedBackbone

__all__ = ['EfficientNetLite0Weights', 'LuminanceBackbone', 'ReducedBackbone']
