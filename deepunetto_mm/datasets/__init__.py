"""Datasets and their transforms."""

from deepunetto_mm.utils.errors import DataError

from . import transforms
from .cityscapes_fine_dataset import CityscapesFineDataset
from .coarse_fine_dataset import CoarseFineDataset
from .coco_fine_dataset import CocoFineDataset
from .rod_cone_shapes import RodConeShapes
from .transforms import *

__all__ = [
    'CityscapesFineDataset',
    'CoarseFineDataset',
    'CocoFineDataset',
    'DataError',
    'RodConeShapes',
    *transforms.__all__,
]
