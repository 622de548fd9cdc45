"""Backbones."""

from .efficientnet_lite0_weights import EfficientNetLite0Weights
from .luminance_backbone import LuminanceBackbone
from .reduced_backbone import ReducedBackbone
from .timm_stages import TIMMStages

__all__ = ['EfficientNetLite0Weights', 'LuminanceBackbone', 'ReducedBackbone', 'TIMMStages']
