"""Metrics of regions and their fine classes."""

from .metrics import CityscapesMetric, FineGrainedMetric

__all__ = ['CityscapesMetric', 'FineGrainedMetric']
