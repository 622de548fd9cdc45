"""Backbones."""

from .luminance_backbone import LuminanceBackbone

__all__ = ['LuminanceBackbone']
