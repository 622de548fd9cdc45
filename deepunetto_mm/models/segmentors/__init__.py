"""Segmentors."""

from .deepunetto import DeepUNetto
from .deepunetto_tta import DeepUNettoTTA
from .tiled_encoder_decoder import TiledEncoderDecoder

__all__ = ['DeepUNetto', 'DeepUNettoTTA', 'TiledEncoderDecoder']
