"""Finding checkpoints, and reading untrusted ones."""

import os
import zipfile
from pathlib import Path
from typing import Any, Optional, Union

import torch

from deepunetto_mm.guards.safe_loading import safe_loading
from deepunetto_mm.utils.errors import UsageError


def find_checkpoint(folder: str) -> Optional[str]:
    """Newest intact checkpoint of a work directory; None if there is none.

    It is the one that ``last_checkpoint`` names, in this folder if the folder was copied or moved. A run that is killed
    while saving leaves a truncated file, or a ``last_checkpoint`` that names a deleted file. Then it is the newest one
    by time.
    """
    root = Path(folder)
    pointer = root / 'last_checkpoint'
    named = Path(pointer.read_text().strip()) if pointer.is_file() else Path()
    for path in (root / named.name, named):
        if _is_intact(path):
            return str(path)
    intact = [path for path in (*root.glob('iter_*.pth'), *root.glob('epoch_*.pth')) if _is_intact(path)]
    return str(max(intact, key=lambda path: path.stat().st_mtime)) if intact else None


def _is_intact(path: Path) -> bool:
    # The table of contents of a checkpoint (a zip file) is at its end, so a truncated file has none.
    return path.is_file() and zipfile.is_zipfile(path)


def resolve_checkpoint(path: str) -> str:
    """Resolve a command line argument (file, work directory or URL) to a checkpoint; URLs are left to mmengine.

    Raises:
        UsageError: If there is no such checkpoint.
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
    """Read a checkpoint, by default without executing code in it.

    Args:
        path: A checkpoint of mmengine's Runner, or a plain ``state_dict``.
        trusted: Read any object, executing code in the file: only for your own checkpoints.

    Returns:
        The checkpoint, on the CPU, always with the key ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file contains more than :func:`~deepunetto_mm.guards.safe_loading.load` allows.
        ValueError: If the file is not a checkpoint, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    with safe_loading(trusted):
        checkpoint = torch.load(path, map_location='cpu', weights_only=False)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} contains a {type(checkpoint).__name__}, not a checkpoint')
    return checkpoint if 'state_dict' in checkpoint else {'state_dict': checkpoint}
