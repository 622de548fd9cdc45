"""Data transforms: what mmseg's pipelines need to carry regions and fine labels, and colours as the cones see them."""

from .chromatic_adaptation import ChromaticAdaptation
from .load_composed_annotations import LoadComposedAnnotations
from .load_regions import LoadRegions
from .pack_region_inputs import PackRegionInputs

__all__ = ['ChromaticAdaptation', 'LoadComposedAnnotations', 'LoadRegions', 'PackRegionInputs']
