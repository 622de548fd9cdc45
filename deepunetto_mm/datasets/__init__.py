"""Datasets and their transforms."""

from .coarse_fine_dataset import CoarseFineDataset
from .errors import DataError
from .rod_cone_shapes import RodConeShapes
from .transforms import LoadRegions, PackRegionInputs

__all__ = ['CoarseFineDataset', 'DataError', 'LoadRegions', 'PackRegionInputs', 'RodConeShapes']
