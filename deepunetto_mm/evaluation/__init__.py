"""Metrics of regions and their fine classes, of pictures named as a whole, and of membranes as borders."""

from .metrics import CityscapesMetric, CocoMetric, FineGrainedMetric, ISBI2012Metric, PictureAccuracy

__all__ = ['CityscapesMetric', 'CocoMetric', 'FineGrainedMetric', 'ISBI2012Metric', 'PictureAccuracy']
