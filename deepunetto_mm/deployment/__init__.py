"""Export of trained networks to ONNX, for :mod:`deepunetto_mm.runtime` and other programs."""

from .onnx_export import Difference, export_onnx

__all__ = ['Difference', 'export_onnx']
