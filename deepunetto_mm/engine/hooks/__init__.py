"""Hooks of mmengine's Runner."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .channels_last_hook import ChannelsLastHook
from .class_presence_hook import ClassPresenceHook
from .compile_hook import CompileHook
from .loss_explosion_hook import LossExplosionHook
from .non_finite_hook import NonFiniteError, NonFiniteHook
from .region_visualization_hook import RegionVisualizationHook
from .reproducible_hook import ReproducibleHook
from .skip_bad_samples_hook import BadSampleError, SkipBadSamplesHook
from .taxonomy_hook import TaxonomyHook

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
