"""Finding checkpoints, and reading those that may come from anywhere."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from deepunetto_mm.apis.errors import UsageError


class UnsafeCheckpointError(ValueError):
    """A checkpoint holds more than weights and logs, so that loading it could run code."""


def find_checkpoint(folder: str) -> Optional[str]:
    """Newest intact checkpoint of a work directory; None if there is none.

    A run that is killed while it saves leaves a truncated file, or a ``last_checkpoint`` that names a file already
    deleted. The table of contents of a checkpoint (a zip file) is at its end, so a truncated one has none.
    """
    root = Path(folder)
    candidates = {*root.glob('iter_*.pth'), *root.glob('epoch_*.pth')}
    pointer = root / 'last_checkpoint'
    if pointer.is_file():
        candidates.add(Path(pointer.read_text().strip()))
    intact = [path for path in candidates if path.is_file() and zipfile.is_zipfile(path)]
    return str(max(intact, key=lambda path: path.stat().st_mtime)) if intact else None


def resolve_checkpoint(path: str) -> str:
    """The checkpoint that the command line means; addresses are left to mmengine.

    Raises:
        UsageError: If there is none.
    """
    if os.path.isdir(path):
        found = find_checkpoint(path)
        if found is None:
            raise UsageError(f'no intact checkpoint (iter_*.pth, epoch_*.pth) in {path!r}')
        return found
    if '://' not in path and not os.path.isfile(path):
        raise UsageError(f'no checkpoint at {path!r}')
    return path


def read_checkpoint(path: Union[str, Path], trusted: bool = False) -> dict[str, Any]:
    """Read a checkpoint without running code that it may hold.

    mmengine's own loading falls back to full unpickling, which runs whatever the file says. Here nothing is built but
    tensors, numbers, strings, containers, numpy arrays, and mmengine's log buffers.

    Args:
        path: A checkpoint as mmengine's Runner writes it, or a plain ``state_dict``.
        trusted: Read anything, running whatever code is in the file: for checkpoints of your own.

    Returns:
        The checkpoint, on the CPU, with the key ``state_dict`` in either case.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file holds other objects, which the message names, or torch is too old to tell.
        ValueError: If the file is no checkpoint, or is truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    # A checkpoint is a zip file, whose table of contents is at its end: a truncated one has none.
    if not zipfile.is_zipfile(path):
        raise ValueError(f'{path} is no checkpoint, or is truncated; get it again')
    if not trusted and not hasattr(torch.serialization, 'safe_globals'):
        raise UnsafeCheckpointError(
            f'torch {torch.__version__} cannot read {path} without running code that it may '
            'hold; take torch 2.6 or later, or say that you trust the file'
        )
    try:
        if trusted:
            checkpoint = torch.load(path, map_location='cpu', weights_only=False)
        else:
            with torch.serialization.safe_globals(_allowed()):
                checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r'(?:GLOBAL|getattr) (\S+)', str(error))
        what = culprit[1] if culprit else 'something'
        raise UnsafeCheckpointError(
            f'{path} holds {what} beside weights, so loading it could run code; ask its author '
            'for a checkpoint of weights only, or say that you trust it'
        ) from error
    except RuntimeError as error:
        raise ValueError(f'{path} is no checkpoint, or is damaged; get it again ({error})') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint')
    return checkpoint if 'state_dict' in checkpoint else {'state_dict': checkpoint}


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


def _statistic(owner: Any, name: str) -> Callable:
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'getattr {name} of {owner!r}')
    return getattr(HistoryBuffer, name)
