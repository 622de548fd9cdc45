"""Metrics of regions and their fine classes, of pictures named as a whole, and of membranes as borders."""

from .metrics import CityscapesMetric, CocoMetric, FineGrainedMetric, PictureAccuracy

__all__ = ['CityscapesMetric', 'CocoMetric', 'FineGrainedMetric', 'PictureAccuracy']
