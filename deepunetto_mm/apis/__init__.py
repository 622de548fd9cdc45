"""Ready-made functions for a trained model."""

from deepunetto_mm.guards import UnsafeCheckpointError, read_checkpoint, safe_loading
from deepunetto_mm.utils.shipped_configs import read_config

from .deepunetto_inferencer import DeepUNettoInferencer
from .model_zoo import load_model

__all__ = [
    'DeepUNettoInferencer',
    'UnsafeCheckpointError',
    'load_model',
    'read_checkpoint',
    'read_config',
    'safe_loading',
]
