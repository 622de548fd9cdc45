"""Metrics of regions and their fine classes, and of membranes as borders."""

from .metrics import CityscapesMetric, FineGrainedMetric, ISBI2012Metric

__all__ = ['CityscapesMetric', 'FineGrainedMetric', 'ISBI2012Metric']
