"""What mmengine's Runner is extended with."""

from .hooks import AtomicCheckpointHook, ChannelsLastHook, RegionVisualizationHook, TaxonomyHook

__all__ = ['AtomicCheckpointHook', 'ChannelsLastHook', 'RegionVisualizationHook', 'TaxonomyHook']
