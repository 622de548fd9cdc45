"""Prediction with exported networks: onnxruntime, numpy and OpenCV, without torch and the OpenMMLab stack."""

from .naming import describe_regions
from .onnx_predictor import OnnxPredictor, Prediction

__all__ = ['OnnxPredictor', 'Prediction', 'describe_regions']
