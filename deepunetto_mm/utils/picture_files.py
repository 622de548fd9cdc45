"""Files of pictures, before they are decoded: which of a folder they are, and whether they are complete."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Union

from deepunetto_mm.utils.errors import DataError

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
_PNG_HEAD, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
_JPEG_HEAD, _JPEG_END, _JPEG_SCAN = b'\xff\xd8\xff', b'\xff\xd9', 0xDA


def pictures_of_folder(folder: Path) -> tuple[list[Path], str]:
    """The pictures of a folder by name, without its subfolders and hidden files.

    Returns:
        The pictures, and what else there is, in words; empty if nothing else.

    Raises:
        FileNotFoundError: If there is no picture.
    """
    # macOS writes ._a.png beside a.png on foreign disks.
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
    found = [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
    numbers = Counter(
        'subfolder' if path.is_dir() else path.suffix.lower() or 'no suffix' for path in set(entries) - set(found)
    )
    others = ', '.join(f'{name} ({number})' for name, number in sorted(numbers.items()))
    if not found:
        raise FileNotFoundError(
            f'no picture in the folder {folder}; {", ".join(SUFFIXES)} are looked for'
            + (f', there are {others}' if others else '')
        )
    return found, f'{folder}: {len(found)} pictures; {numbers.total()} other entries are left out: {others}' * bool(
        others
    )


def require_complete(path: Union[str, Path]) -> None:
    """Raise if a local PNG or JPEG file is truncated before its end marker; other formats pass.

    OpenCV 4 decodes a truncated JPEG without an error and fills the missing rows with grey, so decoding does not detect
    it. A complete file costs reading its first and last bytes.

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
            # Some cameras write more after the end marker, e.g. a film: search the whole file for it.
            file.seek(0)
            content = file.read()
            start = _start_of_scan(content) if end == _JPEG_END else 0
            complete = content.find(end, start) >= 0
    if not complete:
        raise DataError(f'{path}: the file is truncated after {size} bytes; copy or write it again', 'truncated file')


def _start_of_scan(content: bytes) -> int:
    """Offset of the picture's data: an EXIF thumbnail before it has an end marker too."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _JPEG_SCAN:
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return position
