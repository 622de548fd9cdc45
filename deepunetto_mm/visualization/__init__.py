"""Pictures of annotations and predictions, and where runs write them."""

from .drawing import rgb_from_inputs
from .mlflow_backend import MLflowBackend
from .region_visualizer import RegionVisualizer
from .wandb_backend import WandbBackend

__all__ = ['MLflowBackend', 'RegionVisualizer', 'WandbBackend', 'rgb_from_inputs']
