"""Metrics for mmengine's evaluator."""

from .cityscapes_metric import CityscapesMetric
from .coco_metric import CocoMetric
from .fine_grained_metric import FineGrainedMetric
from .instance_ap import InstanceAP
from .picture_accuracy import PictureAccuracy

__all__ = ['CityscapesMetric', 'CocoMetric', 'FineGrainedMetric', 'InstanceAP', 'PictureAccuracy']
