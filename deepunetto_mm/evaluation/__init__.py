"""Metrics of regions and their fine classes, of pictures named as a whole, and of membranes as borders."""

from .metrics import CityscapesMetric, FineGrainedMetric, ISBI2012Metric, PictureAccuracy

__all__ = ['CityscapesMetric', 'FineGrainedMetric', 'ISBI2012Metric', 'PictureAccuracy']
