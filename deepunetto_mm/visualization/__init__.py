"""Pictures of annotations and predictions."""
from .picture_names import PictureNames
from .region_visualizer import RegionVisualizer

__all__ = ['PictureNames', 'RegionVisualizer']
