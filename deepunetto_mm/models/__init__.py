"""The network and its parts."""

from .backbones import LuminanceBackbone
from .decode_heads import UNetDecoder
from .heads import FineGrainedHead
from .necks import MaskGuidedRoICrop
from .regions import ConnectedComponentsProposer
from .segmentors import DeepUNetto, DeepUNettoTTA

__all__ = [
    'ConnectedComponentsProposer',
    'DeepUNetto',
    'DeepUNettoTTA',
    'FineGrainedHead',
    'LuminanceBackbone',
    'MaskGuidedRoICrop',
    'UNetDecoder',
]
