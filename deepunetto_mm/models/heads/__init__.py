"""Heads that name regions."""

from .fine_cls_head import FineClsHead
from .fine_grained_head import FineGrainedHead
from .hierarchical_cls_head import HierarchicalClsHead

__all__ = ['FineClsHead', 'FineGrainedHead', 'HierarchicalClsHead']
