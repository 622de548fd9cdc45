"""What mmengine's Runner is extended with."""

from .hooks import (
    AtomicCheckpointHook,
    BadSampleError,
    ChannelsLastHook,
    RegionVisualizationHook,
    SkipBadSamplesHook,
    TaxonomyHook,
)

__all__ = [
    'AtomicCheckpointHook',
    'BadSampleError',
    'ChannelsLastHook',
    'RegionVisualizationHook',
    'SkipBadSamplesHook',
    'TaxonomyHook',
]
