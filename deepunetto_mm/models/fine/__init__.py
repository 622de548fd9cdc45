"""The fine branch: crops of regions, and the heads that name them."""

from .crop_neck import CropNeck
from .fine_branch import FineBranch
from .fine_cls_head import FineClsHead
from .fine_grained_head import FineGrainedHead
from .fine_head import FineHead
from .hierarchical_cls_head import HierarchicalClsHead
from .mask_guided_roi_crop import MaskGuidedRoICrop

__all__ = [
    'CropNeck',
    'FineBranch',
    'FineClsHead',
    'FineGrainedHead',
    'FineHead',
    'HierarchicalClsHead',
    'MaskGuidedRoICrop',
]
