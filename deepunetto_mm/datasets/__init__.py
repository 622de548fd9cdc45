"""Datasets and their transforms."""

from .cityscapes_fine_dataset import CityscapesFineDataset
from .coarse_fine_dataset import CoarseFineDataset
from .coco_fine_dataset import CocoFineDataset
from .errors import DataError
from .rod_cone_shapes import RodConeShapes
from .transforms import (
    AddBorderWeights,
    CheckFiles,
    ChromaticAdaptation,
    ColourShift,
    ElasticDeformation,
    LoadCocoAnnotations,
    LoadComposedAnnotations,
    LoadRegions,
    LoadThresholdAnnotations,
    MirrorPad,
    PackRegionInputs,
)

__all__ = [
    'AddBorderWeights',
    'CheckFiles',
    'ChromaticAdaptation',
    'CityscapesFineDataset',
    'CoarseFineDataset',
    'CocoFineDataset',
    'ColourShift',
    'DataError',
    'ElasticDeformation',
    'LoadCocoAnnotations',
    'LoadComposedAnnotations',
    'LoadRegions',
    'LoadThresholdAnnotations',
    'MirrorPad',
    'PackRegionInputs',
    'RodConeShapes',
]
