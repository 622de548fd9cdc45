"""Losses that mmseg and mmpretrain lack."""

from .focal_loss import FocalLoss

__all__ = ['FocalLoss']
