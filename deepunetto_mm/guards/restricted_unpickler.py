"""What torch before 2.6 lacks to read checkpoints safely; later ones do not need it."""

from __future__ import annotations

import _compat_pickle
import io
import pickle
from collections import OrderedDict
from typing import Any, Mapping

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# torch.serialization.safe_globals came with 2.6. What torch.load(weights_only=True) allowed until then is fixed, leaves
# out mmengine's log buffers, and could be circumvented (CVE-2025-32434).
TORCH_READS_SAFELY = hasattr(torch.serialization, 'safe_globals')
_plain_load = torch.load


def restricted_load(f: Any, map_location: Any, allowed: Mapping[str, Any], **options: Any) -> Any:
    """As ``torch.load`` with ``weights_only=True`` of torch 2.6, for older ones.

    Args:
        f: Path or file.
        map_location: As of ``torch.load``.
        allowed: What the file may name beside tensors: ``'module.name'`` to the object that is taken for it.
        **options: Others of ``torch.load``.

    Raises:
        pickle.UnpicklingError: If the file names something else; the message says what, after the word GLOBAL.
    """
    if hasattr(f, 'read'):
        content = f.read()
    else:
        with open(f, 'rb') as file:
            content = file.read()
    # Out of memory, because for files torch tries its oldest format first, an archive of tar that may unpack anywhere.
    buffer = io.BytesIO(content)
    if content[:4] == b'PK\x03\x04':
        with torch.serialization._open_zipfile_reader(buffer) as archive:
            # torch.load would hand it to torch.jit.load, which reads it in another way.
            if torch.serialization._is_torchscript_zip(archive):
                raise pickle.UnpicklingError('GLOBAL TorchScript')
        buffer.seek(0)
    return _plain_load(
        buffer, map_location, pickle_module=_restricted_pickle({**_TENSORS, **allowed}), weights_only=False, **options
    )


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'GLOBAL encoding:{encoding}')
    return text.encode('latin1')


# Storages aside, which torch's own wrapper of an unpickler looks up.
_TENSORS: dict[str, Any] = {
    'collections.OrderedDict': OrderedDict,
    'torch.Size': torch.Size,
    'torch._utils._rebuild_tensor': torch._utils._rebuild_tensor,
    'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
    'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
    **{str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)},
    '_codecs.encode': _latin1,  # how protocol 2 writes bytes
}
# Whose state a file may set; not that of a class or a function, which would be changed for everybody.
_WITH_STATE = (OrderedDict, HistoryBuffer, np.ndarray, np.dtype)


def _restricted_pickle(allowed: Mapping[str, Any]) -> Any:
    """A stand-in for the module pickle that looks names up in a table, and imports nothing."""
    python_unpickler: Any = pickle._Unpickler  # the one that can be overridden

    class Unpickler(python_unpickler):
        dispatch = dict(python_unpickler.dispatch)

        def find_class(self, module: str, name: str) -> Any:
            # torch.save writes the names of Python 2.
            name = f'{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}'
            try:
                return allowed[name]
            except KeyError:
                raise pickle.UnpicklingError(f'GLOBAL {name}') from None

        def load_build(self) -> None:
            if not isinstance(self.stack[-2], _WITH_STATE):
                raise pickle.UnpicklingError(f'GLOBAL {self.stack[-2]!r}')
            super().load_build()

        dispatch[pickle.BUILD[0]] = load_build

    class RestrictedPickle:
        @staticmethod
        def load(file: Any, **options: Any) -> Any:
            return Unpickler(file, **options).load()

    RestrictedPickle.Unpickler = Unpickler  # type: ignore[attr-defined]
    return RestrictedPickle
