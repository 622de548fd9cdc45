"""Configs of the package, by name, from any folder: ``deepunetto_mm::deepunetto_shapes.py``."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Union

from mmengine.config import Config

from deepunetto_mm.utils.errors import UsageError, suggest

PREFIX = 'deepunetto_mm::'
# setup.py puts them there.
FOLDER = Path(__file__).resolve().parents[1] / '.mim' / 'configs'


def resolve_config(path: Union[str, os.PathLike]) -> str:
    """The file of a path, or of a name after ``deepunetto_mm::``, such as ``deepunetto_mm::deepunetto_shapes.py``.

    Raises:
        UsageError: If the package has no config of this name, or was not installed. Other paths are not checked.
    """
    path = os.fspath(path)
    if not path.startswith(PREFIX):
        return path
    name = path[len(PREFIX) :]
    if not FOLDER.is_dir():
        raise UsageError(f'{path}: {FOLDER} is missing; pip install the package, or give the path of the file')
    if not (FOLDER / name).is_file():
        known = [file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob('*.py')]
        raise UsageError(f'{path}: no {name!r} in {FOLDER}{suggest(name, known)}')
    return str(FOLDER / name)


def read_config(path: Union[str, os.PathLike]) -> Config:
    """``Config.fromfile``, where path and ``_base_`` may be names after ``deepunetto_mm::``.

    Args:
        path: As in :func:`resolve_config`.

    Raises:
        UsageError: As in :func:`resolve_config`.
    """
    with _shipped_bases():
        return Config.fromfile(resolve_config(path))


@contextmanager
def _shipped_bases() -> Iterator[None]:
    """Make mmengine find our configs in ``_base_``.

    mmengine only finds those of OpenMMLab's packages, by a table, and only in folders (``mmdet::yolo/yolo.py``).
    """
    plain = Config._get_cfg_path

    def get_cfg_path(base: str, filename: str) -> tuple[str, Optional[str]]:
        if base.startswith(PREFIX):
            # Without a scope: in the package's scope, values copied with `_base_.model` would not find mmseg's types.
            return resolve_config(base), None
        return plain(base, filename)

    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(plain)
