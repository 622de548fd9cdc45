"""Masks from brightness, for pictures with fine classes but no masks. See docs/threshold_masks.md."""

from .load_threshold_annotations import LoadThresholdAnnotations
from .thresholding import ThresholdMask, ThresholdOptions, threshold_mask

__all__ = ['LoadThresholdAnnotations', 'ThresholdMask', 'ThresholdOptions', 'threshold_mask']
