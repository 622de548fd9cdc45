"""Reading untrusted tables, lists and JSON within limits."""

from __future__ import annotations

import json
import os
from typing import Any, Optional

from mmengine import fileio

from deepunetto_mm.utils.errors import DataError

# About five million rows, and ten times the largest annotation file of COCO.
_LARGEST_TEXT, _LARGEST_JSON = 2**28, 2**32


def read_text(path: str, backend_args: Optional[dict] = None) -> str:
    """Read a table or a list in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        backend_args: Options of mmengine's file backends.

    Raises:
        DataError: If it is larger than 256 MiB, not a file, or not UTF-8.
        FileNotFoundError: If there is no such file.
    """
    try:
        # Spreadsheets write a byte order mark, which would become part of the first column's name.
        return _read(path, _LARGEST_TEXT, backend_args).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(f'{path}: not a UTF-8 text ({error}); save it in UTF-8') from error


def read_json(path: str, backend_args: Optional[dict] = None) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        backend_args: Options of mmengine's file backends.

    Raises:
        DataError: If it is larger than 4 GiB, not a file, not JSON, or nested too deeply for Python.
        FileNotFoundError: If there is no such file.
    """
    try:
        return json.loads(_read(path, _LARGEST_JSON, backend_args))
    except DataError:
        raise
    except RecursionError as error:
        raise DataError(f'{path}: JSON that is nested too deeply; export or copy the file again') from error
    except ValueError as error:
        raise DataError(f'{path}: not JSON ({error}); export or copy the file again') from error


def _read(path: str, limit: int, backend_args: Optional[dict]) -> bytes:
    if os.path.exists(path):
        # Checked before reading: /dev/zero has no end.
        if not os.path.isfile(path):
            raise DataError(f'{path}: a folder or a device, not a file; fix the path')
        _require_size(path, os.path.getsize(path), limit)
    content = fileio.get(path, backend_args=backend_args)
    _require_size(path, len(content), limit)
    return content


def _require_size(path: str, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(
            f'{path}: {size} bytes, but files of this type may have at most {limit}; use another file, or split it'
        )
