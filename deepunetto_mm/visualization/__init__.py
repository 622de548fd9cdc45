"""Pictures of annotations and predictions."""

from .drawing import rgb_from_inputs
from .region_visualizer import RegionVisualizer

__all__ = ['RegionVisualizer', 'rgb_from_inputs']
