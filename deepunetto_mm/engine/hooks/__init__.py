"""Hooks of mmengine's Runner."""

# Configs in pure Python import the guards from here, too.
from deepunetto_mm.guards import (
    AtomicCheckpointHook,
    LossExplosionHook,
    NonFiniteHook,
    ReproducibleHook,
    SkipBadSamplesHook,
)

from .bfloat16_hook import BFloat16Hook
from .channels_last_hook import ChannelsLastHook
from .class_figures_hook import ClassFiguresHook
from .class_presence_hook import ClassPresenceHook
from .compile_hook import CompileHook
from .inference_hook import InferenceHook
from .region_visualization_hook import RegionVisualizationHook
from .taxonomy_hook import TaxonomyHook

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
