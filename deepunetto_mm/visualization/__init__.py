"""Pictures of annotations and predictions."""

from .drawing import rgb_from_inputs
from .picture_names import PictureNames
from .region_visualizer import RegionVisualizer

__all__ = ['PictureNames', 'RegionVisualizer', 'rgb_from_inputs']
