"""Metrics for mmengine's evaluator."""

from .cityscapes_metric import CityscapesMetric
from .fine_grained_metric import FineGrainedMetric
from .isbi2012_metric import ISBI2012Metric
from .picture_accuracy import PictureAccuracy

__all__ = ['CityscapesMetric', 'FineGrainedMetric', 'ISBI2012Metric', 'PictureAccuracy']
