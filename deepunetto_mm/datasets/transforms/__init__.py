"""Data transforms: what mmseg's pipelines need to carry regions and fine labels."""

from .load_regions import LoadRegions
from .pack_region_inputs import PackRegionInputs

__all__ = ['LoadRegions', 'PackRegionInputs']
