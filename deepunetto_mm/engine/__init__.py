"""Extensions of mmengine's Runner."""

from .hooks import (
    AtomicCheckpointHook,
    BFloat16Hook,
    ChannelsLastHook,
    ClassFiguresHook,
    ClassPresenceHook,
    CompileHook,
    InferenceHook,
    LossExplosionHook,
    NonFiniteHook,
    RegionVisualizationHook,
    ReproducibleHook,
    SkipBadSamplesHook,
    TaxonomyHook,
)

__all__ = [
    'SkipBadSamplesHook',
    'ReproducibleHook',
    'NonFiniteHook',
    'LossExplosionHook',
    'AtomicCheckpointHook',
    'BFloat16Hook',
    'ChannelsLastHook',
    'ClassFiguresHook',
    'ClassPresenceHook',
    'CompileHook',
    'InferenceHook',
    'RegionVisualizationHook',
    'TaxonomyHook',
]
