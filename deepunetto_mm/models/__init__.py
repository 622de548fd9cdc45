"""The network and its parts."""

from .backbones import EfficientNetLite0Weights, LuminanceBackbone, UNet2015Encoder
from .decode_heads import PixelWeightedHead, UNet2015Head, UNetDecoder
from .heads import FineGrainedHead
from .necks import MaskGuidedRoICrop
from .regions import ConnectedComponentsProposer, DistanceWatershed
from .segmentors import DeepUNetto, DeepUNettoTTA, TiledEncoderDecoder

__all__ = [
    'ConnectedComponentsProposer',
    'DeepUNetto',
    'DeepUNettoTTA',
    'DistanceWatershed',
    'EfficientNetLite0Weights',
    'FineGrainedHead',
    'LuminanceBackbone',
    'MaskGuidedRoICrop',
    'PixelWeightedHead',
    'TiledEncoderDecoder',
    'UNet2015Encoder',
    'UNet2015Head',
    'UNetDecoder',
]
