"""What mmengine's Runner is extended with."""

from .hooks import RegionVisualizationHook, TaxonomyHook

__all__ = ['RegionVisualizationHook', 'TaxonomyHook']
