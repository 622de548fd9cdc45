"""Metrics for mmengine's evaluator."""

from .cityscapes_metric import CityscapesMetric
from .fine_grained_metric import FineGrainedMetric

__all__ = ['CityscapesMetric', 'FineGrainedMetric']
