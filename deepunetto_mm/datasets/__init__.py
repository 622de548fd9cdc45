"""Datasets and their transforms."""

from deepunetto_mm.utils.errors import DataError

from .cityscapes_fine_dataset import CityscapesFineDataset
from .coarse_fine_dataset import CoarseFineDataset
from .coco_fine_dataset import CocoFineDataset
from .rod_cone_shapes import RodConeShapes
from .transforms import (
    CheckFiles,
    ChromaticAdaptation,
    ColourShift,
    LoadCocoAnnotations,
    LoadComposedAnnotations,
    LoadRegions,
    LoadScaledImage,
    PackRegionInputs,
)

__all__ = [
    'CheckFiles',
    'ChromaticAdaptation',
    'CityscapesFineDataset',
    'CoarseFineDataset',
    'CocoFineDataset',
    'ColourShift',
    'DataError',
    'LoadCocoAnnotations',
    'LoadComposedAnnotations',
    'LoadRegions',
    'LoadScaledImage',
    'PackRegionInputs',
    'RodConeShapes',
]
