"""Hooks of mmengine's Runner."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .channels_last_hook import ChannelsLastHook
from .compile_hook import CompileHook
from .region_visualization_hook import RegionVisualizationHook
from .taxonomy_hook import TaxonomyHook

__all__ = ['AtomicCheckpointHook', 'ChannelsLastHook', 'CompileHook', 'RegionVisualizationHook', 'TaxonomyHook']
