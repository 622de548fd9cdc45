"""Reading checkpoints without running code that they may hold."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from deepunetto_mm.guards.restricted_unpickler import TORCH_READS_SAFELY, restricted_load

# What torch before 1.6 begins its files with.
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_torch_load = torch.load


class UnsafeCheckpointError(ValueError):
    """A checkpoint holds more than weights and logs, so that loading it could run code."""


@contextmanager
def safe_loading(trusted: bool = False) -> Iterator[None]:
    """Have every checkpoint that is loaded inside read by :func:`load`, whoever loads it.

    mmengine tries ``weights_only=True``, and on failure reads the file without, after a warning: what it refused is
    run. Other libraries don't try, and the environment variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` turns it off. All
    of them call ``torch.load``, so that is what is replaced.

    Args:
        trusted: Change nothing: checkpoints of your own that hold other objects.
    """
    plain = torch.load
    if not trusted:
        torch.load = load
    try:
        yield
    finally:
        torch.load = plain


def load(
    f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: Any = None, **options: Any
) -> Any:
    """As ``torch.load``, without running code that the file may hold, whatever the caller asks for.

    Nothing is built but tensors, numbers, strings, containers, numpy arrays, and mmengine's log buffers. A config of
    the checkpoint's ``meta`` is left out: mmengine runs it when it resumes.

    Args:
        f: Path or file.
        map_location: As of ``torch.load``.
        pickle_module: Not used, like ``weights_only``.
        weights_only: It is True.
        **options: Those of ``torch.load``.

    Raises:
        UnsafeCheckpointError: If the file holds other objects, which the message names.
        ValueError: If the file is no checkpoint, or is truncated.
    """
    name = os.fspath(f) if isinstance(f, (str, os.PathLike)) else getattr(f, 'name', 'the checkpoint')
    if isinstance(f, (str, os.PathLike)) and not _looks_complete(f):
        raise ValueError(f'{name} is no checkpoint, or is truncated; get it again')
    try:
        if TORCH_READS_SAFELY:
            with _only_allowed():
                checkpoint = _torch_load(f, map_location, weights_only=True, **options)
        else:
            checkpoint = restricted_load(f, map_location, dict(map(_named, _allowed())), **options)
    except pickle.UnpicklingError as error:
        culprit = re.search(r'(?:GLOBAL|getattr) (\S+)', str(error))
        what = culprit[1] if culprit else 'something'
        raise UnsafeCheckpointError(
            f'{name} holds {what} beside weights, so loading it could run code; ask its author for a checkpoint of '
            'weights only, or say that you trust it (--trust-checkpoint, or trust_checkpoint=True)'
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f'{name} is no checkpoint, or is damaged; get it again ({error})') from error
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def _looks_complete(path: Union[str, os.PathLike]) -> bool:
    # A checkpoint is a zip file, whose table of contents is at its end: a truncated one has none.
    if zipfile.is_zipfile(path):
        return True
    with open(path, 'rb') as file:
        return file.read(len(_LEGACY)) == _LEGACY


@contextmanager
def _only_allowed() -> Iterator[None]:
    """Replace what others allow: mmengine's list has ``getattr``, which leads to any function in reach."""
    others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(_allowed())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(others)


def _allowed() -> list[Union[Callable, tuple[Callable, str]]]:
    make_array, make_scalar = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in np.typecodes['AllInteger'] + np.typecodes['Float'] + '?'},
        # numpy 2 moved its core, and reads what numpy 1 wrote.
        *[(make_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')],
        *[(make_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')],
        # Log buffers name their statistics by getattr. The true one would be a way to any function in reach.
        (_statistic, 'builtins.getattr'),
    ]


def _named(entry: Any) -> tuple[str, Any]:
    """What a checkpoint calls an entry of the list, and what is taken for it."""
    known, name = entry if isinstance(entry, tuple) else (entry, f'{entry.__module__}.{entry.__qualname__}')
    return name, known


def _statistic(owner: Any, name: str) -> Callable:
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'getattr {name} of {owner!r}')
    return getattr(HistoryBuffer, name)
