"""What mmengine's Runner is extended with."""

from .hooks import (
    AtomicCheckpointHook,
    ChannelsLastHook,
    ClassPresenceHook,
    CompileHook,
    LossExplosionHook,
    NonFiniteError,
    NonFiniteHook,
    RegionVisualizationHook,
    ReproducibleHook,
    TaxonomyHook,
)

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'ClassPresenceHook',
    'CompileHook',
    'LossExplosionHook',
    'NonFiniteError',
    'NonFiniteHook',
    'RegionVisualizationHook',
    'ReproducibleHook',
    'TaxonomyHook',
]
