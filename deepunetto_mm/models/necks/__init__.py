"""Necks: what lies between the segmentation and the fine-grained branch."""

from .mask_guided_roi_crop import MaskGuidedRoICrop

__all__ = ['MaskGuidedRoICrop']
