"""Files: reading untrusted ones within limits, writing atomically, and file names."""

import csv
import io
import json
import os
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Union
from uuid import uuid4

import cv2
import numpy as np
from mmengine import fileio

from deepunetto_mm.utils.errors import DataError

_LONGEST_NAME = 200  # bytes; most file systems have 255
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
    """Read a JSON file; arguments as of :func:`read_text`.

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


def read_table(
    path: str, required: Sequence[str], optional: Optional[Sequence[str]] = None, backend_args: Optional[dict] = None
) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file with a header, separated by commas, or else by semicolons or tabs.

    Args:
        path: The file, as in :func:`read_text`.
        required: Columns that it must have.
        optional: Columns that it may have; None for any.
        backend_args: Options of mmengine's file backends.

    Returns:
        The non-empty rows with their line numbers, cells stripped.

    Raises:
        DataError: If there is no such file, it is not CSV in UTF-8, the columns are wrong, or a row has more or fewer
            cells than the header.
    """
    try:
        text = read_text(path, backend_args)
    except FileNotFoundError as error:
        raise DataError(f'{path}: no such file') from error
    first = text.partition('\n')[0].strip()
    # Spreadsheets write what the language of the system has for a comma, and may say so in a line of its own.
    announced = first[4:] if first.startswith('sep=') and len(first) == 5 else ''
    usual = next((mark for mark in (';', '\t') if mark in first), ',') if ',' not in first else ','
    reader = csv.reader(io.StringIO(text, newline=''), strict=True, delimiter=announced or usual)
    rows = []
    try:
        if announced:
            next(reader)
        header = [name.strip() for name in next(reader, [])]
        _require_columns(path, header, required, optional)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise DataError(
                    f'{path}, line {reader.line_num}: {len(cells)} cells under a header of {len(header)} '
                    f'columns {header}; fix the row (a comma within a name needs quotes)'
                )
            rows.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells)))))
    except csv.Error as error:
        raise DataError(f'{path}, line {reader.line_num}: not CSV ({error}); save the table as CSV in UTF-8') from error
    return rows


def _require_columns(path: str, header: list[str], required: Sequence[str], optional: Optional[Sequence[str]]) -> None:
    if required and not header:
        raise DataError(f'{path}: empty; the first line lists the columns, at least {",".join(required)}')
    missing = [name for name in required if name not in header]
    unknown = [] if optional is None else [name for name in header if name not in (*required, *optional)]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if missing or unknown or twice:
        raise DataError(
            f'{path}, line 1: the header {header} has missing columns {missing}, unknown columns {unknown} '
            f'and repeated columns {twice}; allowed are {list(required)} and optionally '
            f'{"others" if optional is None else list(optional)}, separated by commas'
        )


@contextmanager
def whole_file(path: Union[str, Path], temporary: Optional[str] = None, durable: bool = False) -> Iterator[Path]:
    """Write a file so that it is always either unchanged or complete.

    Args:
        path: The file; its folder is created.
        temporary: Name of the file while it is written. By default a unique one: several processes, on several
            machines, may write the same file.
        durable: Also keep this promise after a power failure, which takes time.

    Yields:
        The path to write to, beside ``path``. After an error it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    incomplete = path.with_name(temporary or f'.{uuid4().hex}')
    try:
        yield incomplete
        if durable:
            _sync(incomplete, os.O_RDONLY)
        os.replace(incomplete, path)
    finally:
        incomplete.unlink(missing_ok=True)
    if durable and hasattr(os, 'O_DIRECTORY'):  # systems that can sync folders
        _sync(path.parent, os.O_DIRECTORY)


def write_whole(path: Union[str, Path], content: bytes) -> None:
    """Write a file atomically; its folder is created."""
    with whole_file(path) as incomplete:
        incomplete.write_bytes(content)


def link_file(source: Path, target: Path, link: Callable[[Path, Path], object]) -> None:
    """Put a file at another place by ``link``, such as ``os.link``; as a copy where the system or disk has no such."""
    with whole_file(target) as incomplete:
        try:
            link(Path(os.path.abspath(source)), incomplete)
        except OSError:
            shutil.copyfile(source, incomplete)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as CSV in UTF-8."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(header)
    table.writerows(rows)
    return text.getvalue().encode()


def write_png(path: Path, values: np.ndarray) -> None:
    """Write (H, W) or, in the order blue, green, red, (H, W, 3) uint8 atomically, as :func:`write_whole`."""
    write_whole(path, cv2.imencode('.png', values)[1].tobytes())


def printable(name: str) -> str:
    """A file's name in which question marks replace what is not UTF-8, and could be neither printed nor sent."""
    return name.encode('utf-8', 'replace').decode()


class PictureNames:
    """Gives each picture a unique name that is safe as a file name.

    A name is the stem of the picture's path, of at most 200 bytes, so that suffixes have room; the second picture with
    the same stem, such as ``b/1.png`` after ``a/1.png``, becomes ``1_2``. The same path always gets the same name, so
    one picture can be followed over epochs.
    """

    def __init__(self) -> None:
        self._name_of: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, path: str) -> str:
        """The name of the picture at ``path``."""
        if path not in self._name_of:
            stem = re.sub(r'[^\w.-]+', '_', PurePath(path).stem).encode()[:_LONGEST_NAME].decode(errors='ignore')
            stem = stem.strip('._') or 'picture'
            name, number = stem, 1
            # Case is ignored: on some file systems A.png and a.png are one file.
            while name.casefold() in self._taken:
                number += 1
                name = f'{stem}_{number}'
            self._taken.add(name.casefold())
            self._name_of[path] = name
        return self._name_of[path]


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


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
