"""The network and its parts."""

from .backbones import EfficientNetLite0Weights, LuminanceBackbone
from .classifiers import RegionClassifier
from .decode_heads import PixelWeightedHead, UNetDecoder
from .heads import FineClsHead, FineGrainedHead, HierarchicalClsHead
from .losses import FocalLoss
from .necks import MaskGuidedRoICrop
from .regions import ConnectedComponentsProposer, DistanceWatershed
from .segmentors import DeepUNetto, DeepUNettoTTA, TiledEncoderDecoder

__all__ = [
    'ConnectedComponentsProposer',
    'DeepUNetto',
    'DeepUNettoTTA',
    'DistanceWatershed',
    'EfficientNetLite0Weights',
    'FineClsHead',
    'FineGrainedHead',
    'FocalLoss',
    'HierarchicalClsHead',
    'LuminanceBackbone',
    'MaskGuidedRoICrop',
    'PixelWeightedHead',
    'RegionClassifier',
    'TiledEncoderDecoder',
    'UNetDecoder',
]
