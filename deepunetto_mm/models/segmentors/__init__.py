"""Segmentors."""

from .deepunetto import DeepUNetto
from .deepunetto import DeepUNetto as TiledEncoderDecoder
from .deepunetto_tta import DeepUNettoTTA

__all__ = ['DeepUNetto', 'DeepUNettoTTA', 'TiledEncoderDecoder']
