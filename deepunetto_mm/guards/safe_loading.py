"""Reading checkpoints without executing code in them."""

import os
import pickle
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from deepunetto_mm.guards.restricted_unpickler import TORCH_READS_SAFELY, restricted_load
from deepunetto_mm.utils.weight_files import decode_weights

# The first bytes of files by torch before 1.6.
_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_torch_load = torch.load


class UnsafeCheckpointError(ValueError):
    """A checkpoint contains more than weights and logs, so loading it could execute code."""


@contextmanager
def safe_loading(trusted: bool = False) -> Iterator[None]:
    """Within this context, every checkpoint is read by :func:`load`, whichever library loads it.

    mmengine tries ``weights_only=True``. If that fails it reads the file without, after a warning, and executes its
    code. Other libraries do not try, and the environment variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` turns it off.
    All of them call ``torch.load``, so this replaces ``torch.load``.

    Args:
        trusted: Change nothing: for your own checkpoints that contain other objects.
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
    """``torch.load`` without executing code in the file.

    Only tensors, numbers, strings, containers, numpy arrays, and mmengine's log buffers are built. A config in
    the checkpoint's ``meta`` is left out, because mmengine executes it on resume. A file ``*.safetensors`` is read too,
    as the ``state_dict`` of a checkpoint.

    Args:
        f: Path or file.
        map_location: As in ``torch.load``.
        pickle_module: Ignored.
        weights_only: Ignored, always True.
        **options: Other options of ``torch.load``.

    Raises:
        UnsafeCheckpointError: If the file contains other objects, which the message names.
        ValueError: If the file is not a checkpoint, or is truncated.
    """
    name = getattr(f, 'name', 'the checkpoint')
    if isinstance(f, (str, os.PathLike)):
        name = os.fspath(f)
        if name.endswith('.safetensors'):
            return dict(state_dict=decode_weights(Path(name).read_bytes(), name))
        if not _looks_complete(f):
            raise ValueError(f'{name} is not a checkpoint, or is truncated; get it again')
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
            f'{name} contains {what} besides weights, so loading it could execute code; ask its author for a '
            'checkpoint with only weights, or load it as trusted (--trust-checkpoint, or trust_checkpoint=True)'
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f'{name} is not a checkpoint, or is damaged; get it again ({error})') from error
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def _looks_complete(path: Union[str, os.PathLike]) -> bool:
    # The table of contents of a zip file is at its end: a truncated checkpoint has none.
    if zipfile.is_zipfile(path):
        return True
    with open(path, 'rb') as file:
        return file.read(len(_LEGACY)) == _LEGACY


@contextmanager
def _only_allowed() -> Iterator[None]:
    """Replace the list of allowed objects: mmengine's has ``getattr``, which gives access to any function."""
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
        # numpy 2 renamed its core module, and reads files of numpy 1.
        *[(make_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')],
        *[(make_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')],
        # Log buffers get their statistics by getattr. The real getattr would give access to any function.
        (_statistic, 'builtins.getattr'),
    ]


def _named(entry: Any) -> tuple[str, Any]:
    """The name of an allowed entry in a checkpoint, and its object."""
    known, name = entry if isinstance(entry, tuple) else (entry, f'{entry.__module__}.{entry.__qualname__}')
    return name, known


def _statistic(owner: Any, name: str) -> Callable:
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'getattr {name} of {owner!r}')
    return getattr(HistoryBuffer, name)
