"""Hooks of mmengine's Runner."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .channels_last_hook import ChannelsLastHook
from .region_visualization_hook import RegionVisualizationHook
from .skip_bad_samples_hook import BadSampleError, SkipBadSamplesHook
from .taxonomy_hook import TaxonomyHook

__all__ = [
    'AtomicCheckpointHook',
    'BadSampleError',
    'ChannelsLastHook',
    'RegionVisualizationHook',
    'SkipBadSamplesHook',
    'TaxonomyHook',
]
