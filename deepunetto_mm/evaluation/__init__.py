"""Metrics of regions and their fine classes, of whole pictures, and of membranes as borders."""

from .metrics import CityscapesMetric, CocoMetric, FineGrainedMetric, InstanceAP, PictureAccuracy

__all__ = ['CityscapesMetric', 'CocoMetric', 'FineGrainedMetric', 'InstanceAP', 'PictureAccuracy']
