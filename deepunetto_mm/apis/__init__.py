"""Ready-made ways to use a trained model."""

from .checkpoint import read_checkpoint
from .deepunetto_inferencer import DeepUNettoInferencer
from .safe_loading import UnsafeCheckpointError, safe_loading

__all__ = ['DeepUNettoInferencer', 'UnsafeCheckpointError', 'read_checkpoint', 'safe_loading']
