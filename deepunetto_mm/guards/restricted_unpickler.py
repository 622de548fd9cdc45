"""Safe reading of checkpoints with torch before 2.6; later versions do not need it."""

import _compat_pickle
import io
import pickle
from collections import OrderedDict
from typing import Any, Mapping

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# torch.serialization.safe_globals was added in 2.6. Before, torch.load(weights_only=True) had a fixed list without
# mmengine's log buffers, and could be circumvented (CVE-2025-32434).
TORCH_READS_SAFELY = hasattr(torch.serialization, 'safe_globals')
_plain_load = torch.load


def restricted_load(f: Any, map_location: Any, allowed: Mapping[str, Any], **options: Any) -> Any:
    """``torch.load`` with ``weights_only=True`` as in torch 2.6, for older versions.

    Args:
        f: Path or file.
        map_location: As in ``torch.load``.
        allowed: The names that the file may use besides tensors: ``'module.name'`` to the object.
        **options: Other options of ``torch.load``.

    Raises:
        pickle.UnpicklingError: If the file uses another name; the message has it after the word GLOBAL.
    """
    if hasattr(f, 'read'):
        content = f.read()
    else:
        with open(f, 'rb') as file:
            content = file.read()
    # From memory: for files, torch first tries its oldest format, a tar archive that may unpack anywhere.
    buffer = io.BytesIO(content)
    if content[:4] == b'PK\x03\x04':
        with torch.serialization._open_zipfile_reader(buffer) as archive:
            # torch.load would pass it to torch.jit.load, which reads it differently.
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


# Storages are missing here because torch's own wrapper of an unpickler looks them up.
_TENSORS: dict[str, Any] = {
    'collections.OrderedDict': OrderedDict,
    'torch.Size': torch.Size,
    'torch._utils._rebuild_tensor': torch._utils._rebuild_tensor,
    'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
    'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
    **{str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)},
    '_codecs.encode': _latin1,  # how protocol 2 writes bytes
}
# Types whose state a file may set. Setting the state of a class or a function would change it everywhere.
_WITH_STATE = (OrderedDict, HistoryBuffer, np.ndarray, np.dtype)


def _restricted_pickle(allowed: Mapping[str, Any]) -> Any:
    """A replacement of the module pickle that looks names up in a table, and imports nothing."""
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
