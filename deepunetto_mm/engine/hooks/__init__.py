"""Hooks of mmengine's Runner."""

from .region_visualization_hook import RegionVisualizationHook
from .taxonomy_hook import TaxonomyHook

__all__ = ['RegionVisualizationHook', 'TaxonomyHook']
