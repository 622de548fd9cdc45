"""What mmengine's Runner is extended with."""

from .hooks import (
    ChannelsLastHook,
    ClassPresenceHook,
    CompileHook,
    RegionVisualizationHook,
    TaxonomyHook,
)

__all__ = [
    'ChannelsLastHook',
    'ClassPresenceHook',
    'CompileHook',
    'RegionVisualizationHook',
    'TaxonomyHook',
]
