"""The network and its parts."""

from . import backbones, decode_heads, dense_heads, fine, losses, regions, segmentors
from .backbones import *
from .decode_heads import *
from .dense_heads import *
from .fine import *
from .losses import *
from .regions import *
from .segmentors import *

__all__ = [
    *backbones.__all__,
    *decode_heads.__all__,
    *dense_heads.__all__,
    *fine.__all__,
    *losses.__all__,
    *regions.__all__,
    *segmentors.__all__,
]
