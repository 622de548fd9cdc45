"""Datasets and their transforms."""

from .cityscapes_fine_dataset import CityscapesFineDataset
from .coarse_fine_dataset import CoarseFineDataset
from .errors import DataError
from .rod_cone_shapes import RodConeShapes
from .transforms import (
    AddBorderWeights,
    ChromaticAdaptation,
    ColourShift,
    ElasticDeformation,
    LoadComposedAnnotations,
    LoadRegions,
    LoadThresholdAnnotations,
    MirrorPad,
    PackRegionInputs,
)

__all__ = [
    'AddBorderWeights',
    'ChromaticAdaptation',
    'CityscapesFineDataset',
    'CoarseFineDataset',
    'ColourShift',
    'DataError',
    'ElasticDeformation',
    'LoadComposedAnnotations',
    'LoadRegions',
    'LoadThresholdAnnotations',
    'MirrorPad',
    'PackRegionInputs',
    'RodConeShapes',
]
