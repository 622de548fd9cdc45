"""Metrics of regions and their fine classes."""

from .metrics import FineGrainedMetric

__all__ = ['FineGrainedMetric']
