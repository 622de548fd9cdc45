"""Hooks of mmengine's Runner."""

from .channels_last_hook import ChannelsLastHook
from .class_presence_hook import ClassPresenceHook
from .compile_hook import CompileHook
from .region_visualization_hook import RegionVisualizationHook
from .taxonomy_hook import TaxonomyHook

__all__ = [
    'ChannelsLastHook',
    'ClassPresenceHook',
    'CompileHook',
    'RegionVisualizationHook',
    'TaxonomyHook',
]
