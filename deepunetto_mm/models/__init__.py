"""The network and its parts."""

from .backbones import EfficientNetLite0Weights, LuminanceBackbone, ReducedBackbone, TIMMStages
from .decode_heads import PixelWeightedHead, UNetDecoder
from .dense_heads import BorderHead, CentreOffsetHead, DenseHead, FineMapHead
from .fine import FineBranch, FineClsHead, FineGrainedHead, FineHead, HierarchicalClsHead, MaskGuidedRoICrop
from .losses import ClassDiceLoss, FocalLoss
from .regions import (
    BorderWatershed,
    CentreOffsetProposer,
    ConnectedComponentsProposer,
    DistanceWatershed,
    RegionProposer,
)
from .segmentors import DeepUNetto, DeepUNettoTTA, TiledEncoderDecoder

__all__ = [
    'BorderHead',
    'BorderWatershed',
    'CentreOffsetHead',
    'CentreOffsetProposer',
    'ClassDiceLoss',
    'ConnectedComponentsProposer',
    'DeepUNetto',
    'DeepUNettoTTA',
    'DenseHead',
    'DistanceWatershed',
    'EfficientNetLite0Weights',
    'FineBranch',
    'FineClsHead',
    'FineGrainedHead',
    'FineHead',
    'FineMapHead',
    'FocalLoss',
    'HierarchicalClsHead',
    'LuminanceBackbone',
    'MaskGuidedRoICrop',
    'PixelWeightedHead',
    'ReducedBackbone',
    'RegionProposer',
    'TIMMStages',
    'TiledEncoderDecoder',
    'UNetDecoder',
]
