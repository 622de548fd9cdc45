"""What mmengine's Runner is extended with."""

from .hooks import (
    AtomicCheckpointHook,
    BadSampleError,
    ChannelsLastHook,
    ClassPresenceHook,
    CompileHook,
    LossExplosionHook,
    NonFiniteError,
    NonFiniteHook,
    RegionVisualizationHook,
    ReproducibleHook,
    SkipBadSamplesHook,
    TaxonomyHook,
)

__all__ = [
    'AtomicCheckpointHook',
    'BadSampleError',
    'ChannelsLastHook',
    'ClassPresenceHook',
    'CompileHook',
    'LossExplosionHook',
    'NonFiniteError',
    'NonFiniteHook',
    'RegionVisualizationHook',
    'ReproducibleHook',
    'SkipBadSamplesHook',
    'TaxonomyHook',
]
