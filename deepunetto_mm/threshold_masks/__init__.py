"""Masks from brightness, for pictures that have names and no masks. See docs/threshold_masks.md."""

from .thresholding import ThresholdMask, ThresholdOptions, threshold_mask

__all__ = ['ThresholdMask', 'ThresholdOptions', 'threshold_mask']
