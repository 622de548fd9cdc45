"""Metrics for mmengine's evaluator."""

from .fine_grained_metric import FineGrainedMetric

__all__ = ['FineGrainedMetric']
