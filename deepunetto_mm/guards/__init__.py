"""Guards for any training with mmengine, independent of regions. See docs/guards.md."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .checkpoint import find_checkpoint, read_checkpoint, resolve_checkpoint
from .loss_explosion_hook import LossExplosionHook
from .non_finite_hook import NonFiniteError, NonFiniteHook
from .reproducible_hook import ReproducibleHook
from .safe_loading import UnsafeCheckpointError, safe_loading
from .skip_bad_samples_hook import BadSampleError, SkipBadSamplesHook

__all__ = [
    'AtomicCheckpointHook',
    'BadSampleError',
    'LossExplosionHook',
    'NonFiniteError',
    'NonFiniteHook',
    'ReproducibleHook',
    'SkipBadSamplesHook',
    'UnsafeCheckpointError',
    'find_checkpoint',
    'read_checkpoint',
    'resolve_checkpoint',
    'safe_loading',
]
