"""What mmengine's Runner is extended with."""

from .hooks import ChannelsLastHook, RegionVisualizationHook, TaxonomyHook

__all__ = ['ChannelsLastHook', 'RegionVisualizationHook', 'TaxonomyHook']
