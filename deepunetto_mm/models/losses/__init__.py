"""Losses that mmseg and mmpretrain lack."""

from .class_dice_loss import ClassDiceLoss
from .focal_loss import FocalLoss

__all__ = ['ClassDiceLoss', 'FocalLoss']
