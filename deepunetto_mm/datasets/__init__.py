"""Datasets and their transforms."""

from deepunetto_mm.utils.errors import DataError

from .cityscapes_fine_dataset import CityscapesFineDataset
from .coarse_fine_dataset import CoarseFineDataset
from .coco_fine_dataset import CocoFineDataset
from .rod_cone_shapes import RodConeShapes
from .transforms import (
    AddCentreTargets,
    AddErythrocytes,
    CheckFiles,
    ChromaticAdaptation,
    ColourShift,
    LoadCocoAnnotations,
    LoadComposedAnnotations,
    LoadRegions,
    LoadScaledImage,
    PackRegionInputs,
    PhotoMetricDistortion,
    RandomCrop,
    RandomShift,
    StainShift,
)

__all__ = [
    'AddCentreTargets',
    'AddErythrocytes',
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
    'PhotoMetricDistortion',
    'RandomCrop',
    'RandomShift',
    'RodConeShapes',
    'StainShift',
]
