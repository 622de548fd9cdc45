"""Can a file be what it should, before it is decoded?"""

from __future__ import annotations

import os
from typing import Any, Mapping

from .errors import DataError

_PNG_HEAD, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
_PNG_BIT_DEPTH = 24  # offset of the byte
_JPEG_HEAD, _JPEG_END, _JPEG_SCAN = b'\xff\xd8\xff', b'\xff\xd9', 0xDA


PATHS = ('img_path', 'seg_map_path', 'region_map_path')  # keys of a sample's files, in mmengine's data lists


def require_sound(info: Mapping[str, Any], key: str) -> None:
    """Raise if a local file of a sample cannot be what it should; a look at its ends and its header, no decoding.

    Args:
        info: The sample as the data list has it.
        key: Which of its files, one of ``PATHS``; an absent key passes.

    Raises:
        DataError: If the file is truncated, or a mask of 16 bits.
        FileNotFoundError: If there is no such file.
    """
    if key in info:
        require_complete(info[key])
        if key == 'seg_map_path':
            require_8_bits(info[key])


def require_complete(path: str) -> None:
    """Raise if a local PNG or JPEG file breaks off before its end marker; files of other kinds pass.

    OpenCV 4 decodes a truncated JPEG without complaint and paints the missing rows grey, so the decoder cannot be
    relied upon. A whole file costs the reading of its first and last bytes.

    Raises:
        DataError: If the file is empty or truncated.
        FileNotFoundError: If there is no such file.
    """
    with open(path, 'rb') as file:
        head = file.read(len(_PNG_HEAD))
        end = _PNG_END if head == _PNG_HEAD else _JPEG_END if head.startswith(_JPEG_HEAD) else b''
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(end)))
        complete = file.read() == end if end else size > 0
        if end and not complete:
            # Some cameras write more after the end marker, e.g. a film: look for it in the whole file.
            file.seek(0)
            content = file.read()
            start = _start_of_scan(content) if end == _JPEG_END else 0
            complete = content.find(end, start) >= 0
    if not complete:
        raise DataError(f'{path}: the file is truncated after {size} bytes; copy or write it again', 'truncated file')


def require_8_bits(path: str) -> None:
    """Raise if a local PNG file of a mask has 16 bits: mmseg would read its labels modulo 256, and 256 as class 0.

    Raises:
        DataError: If so.
    """
    with open(path, 'rb') as file:
        head = file.read(_PNG_BIT_DEPTH + 1)
    if head.startswith(_PNG_HEAD) and head[_PNG_BIT_DEPTH:] == bytes([16]):
        raise DataError(
            f'{path}: a mask of 16 bits; save it with 8 bits, the index of a class at each pixel', 'mask of 16 bits'
        )


def _start_of_scan(content: bytes) -> int:
    """Offset of the picture's own data: an EXIF thumbnail in front of it has an end marker too."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _JPEG_SCAN:
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return position
