"""What mmengine's Runner is extended with."""

from .hooks import AtomicCheckpointHook, ChannelsLastHook, CompileHook, RegionVisualizationHook, TaxonomyHook

__all__ = ['AtomicCheckpointHook', 'ChannelsLastHook', 'CompileHook', 'RegionVisualizationHook', 'TaxonomyHook']
