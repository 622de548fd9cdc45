"""Cheap heads beside the decode head, on the same features."""

from .dense_head import DenseHead

__all__ = ['DenseHead']
