"""Export of trained networks to ONNX, for :mod:`deepunetto_mm.runtime` and other programs."""

from .comparison import Difference
from .int8 import Int8Difference, calibration_pictures, quantise
from .onnx_export import export_onnx

__all__ = ['Difference', 'Int8Difference', 'calibration_pictures', 'export_onnx', 'quantise']
