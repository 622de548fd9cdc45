"""Segmentors."""

from .deepunetto import DeepUNetto
from .deepunetto_tta import DeepUNettoTTA

__all__ = ['DeepUNetto', 'DeepUNettoTTA']
