"""Cheap heads beside the decode head, on the same features."""

from .border_head import BorderHead
from .centre_offset_head import CentreOffsetHead
from .dense_head import DenseHead
from .fine_map_head import FineMapHead

__all__ = ['BorderHead', 'CentreOffsetHead', 'DenseHead', 'FineMapHead']
