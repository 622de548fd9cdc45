"""Ready-made ways to use a trained model."""

from .checkpoint import read_checkpoint
from .deepunetto_inferencer import DeepUNettoInferencer
from .safe_loading import UnsafeCheckpointError, safe_loading
from .shipped_configs import read_config

__all__ = ['DeepUNettoInferencer', 'UnsafeCheckpointError', 'read_checkpoint', 'read_config', 'safe_loading']
