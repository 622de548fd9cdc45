"""Ready-made ways to use a trained model."""

from .checkpoint import UnsafeCheckpointError, read_checkpoint
from .deepunetto_inferencer import DeepUNettoInferencer

__all__ = ['DeepUNettoInferencer', 'UnsafeCheckpointError', 'read_checkpoint']
