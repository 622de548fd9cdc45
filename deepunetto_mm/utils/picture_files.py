"""Pictures to predict, and files of pictures before they are decoded: which of a folder they are, and whether they are
complete.
"""

import os
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Optional, Union

import cv2
import numpy as np

from deepunetto_mm.utils.errors import DataError

Warn = Callable[[str], Any]

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
# By these a file is a picture, even if predictions are not made of such files.
PICTURE_SUFFIXES = (*SUFFIXES, '.gif', '.jp2')
# Also as archives call their folders: training_set, test-data, seg_train, train2017.
_SPLIT = re.compile(
    r'(seg[_-])?(?P<split>train|test|val)(ing|id(ation)?)?([\W_]?(set|data|dataset|split))?[\W_]?((19|20)\d\d)?',
    re.IGNORECASE,
)
_PNG_HEAD, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
_JPEG_HEAD, _JPEG_END, _JPEG_SCAN = b'\xff\xd8\xff', b'\xff\xd9', 0xDA


def split_named(folder: str) -> str:
    """The split that the name of a folder says, ``'train'``, ``'val'`` or ``'test'``; empty if it says none."""
    match = _SPLIT.fullmatch(folder)
    return match['split'].lower() if match else ''


def list_pictures(
    pictures: Any, to_array: Callable[[Any, int], np.ndarray], warn: Warn
) -> list[tuple[str, Union[Path, np.ndarray]]]:
    """The pictures to predict, checked as far as possible without decoding.

    Args:
        pictures: A file; a folder, as in :func:`pictures_of_folder`; a picture in memory; or an iterable of those. An
            array or a tensor with four axes is a list.
        to_array: Makes an array (H, W, 3) uint8 BGR of a picture in memory, given its position in the list. It raises
            an error for anything else.
        warn: As in :func:`pictures_of_folder`.

    Returns:
        Names and pictures: a file has its path as the name, the first picture in memory is ``array_0000``.

    Raises:
        FileNotFoundError: If files do not exist, or a folder has no picture.
    """
    axes = getattr(pictures, 'ndim', None)
    is_one = isinstance(pictures, (str, Path)) or not isinstance(pictures, Iterable) or axes not in (None, 4)
    found: list[tuple[str, Union[Path, np.ndarray]]] = []
    missing = []
    for position, item in enumerate([pictures] if is_one else pictures):
        if not isinstance(item, (str, Path)):
            found.append((f'array_{position:04d}', to_array(item, position)))
        elif Path(item).is_dir():
            found += [(str(path), path) for path in pictures_of_folder(Path(item), warn)]
        elif Path(item).is_file():
            found.append((str(item), Path(item)))
        else:
            missing.append(str(item))
    if missing:
        raise FileNotFoundError(f'no such picture or folder: {", ".join(missing)}')
    return found


def require_bgr(array: np.ndarray, position: int) -> np.ndarray:
    """The array at a position of a list; raise ValueError unless it is (H, W, 3) uint8."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise ValueError(
            f'picture {position} is an array {array.shape} of {array.dtype}; (H, W, 3) uint8 BGR is wanted'
        )
    return array


def read_picture(path: Union[str, Path], flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """The picture (H, W, 3) uint8 BGR of a file, or what another ``flag`` of OpenCV makes of it.

    Raises:
        DataError: If it cannot be decoded, or is larger than OpenCV reads.
    """
    # Not imread, which on Windows opens no file whose name has letters beyond ASCII.
    content = np.fromfile(path, np.uint8)
    try:
        picture: Optional[np.ndarray] = cv2.imdecode(content, flag) if content.size else None
    except cv2.error:  # of more than 2**30 pixels, or what claims to have them
        picture = None
    if picture is None:
        raise DataError(f'{path}: not a picture, or a damaged one; write it again, or take it out', 'unreadable file')
    return picture


def pictures_of_folder(folder: Path, warn: Warn) -> list[Path]:
    """The pictures of a folder by name, without its subfolders and hidden files.

    Args:
        folder: The folder.
        warn: Called with a message if there is anything else.

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
    if others:
        warn(f'{folder}: {len(found)} pictures; {numbers.total()} other entries are left out: {others}')
    return found


def require_complete(path: Union[str, Path]) -> None:
    """Raise if a local PNG or JPEG file is truncated before its end marker; other formats pass.

    OpenCV 4 decodes a truncated JPEG without an error and fills the missing rows with grey, so decoding does not detect
    it. A complete file costs reading its first and last bytes. Of an animated PNG the checksums are compared, too:
    OpenCV 5 does not do it.

    Raises:
        DataError: If the file is empty, truncated, or an animated PNG that is damaged.
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
        damaged = complete and end == _PNG_END and _is_damaged_animation(file, size)
    if not complete:
        raise DataError(f'{path}: the file is truncated after {size} bytes; copy or write it again', 'truncated file')
    if damaged:
        raise DataError(f'{path}: a damaged animated PNG; copy or write it again', 'unreadable file')


def _is_damaged_animation(file: BinaryIO, most: int) -> bool:
    """Whether a PNG of ``most`` bytes is animated and has a wrong checksum, or chunks that do not lead to the last one.

    Of other PNG only what precedes the pixels is read.
    """
    file.seek(len(_PNG_HEAD))
    animated = wrong = False
    kind = b''
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], 'big'), head[4:]
        animated = animated or kind == b'acTL'  # which precedes the pixels
        if kind == b'IDAT' and not animated:
            return False
        # A damaged size may be 4 GB, for which Python would ask the system.
        content, checksum = file.read(min(size, most)), file.read(4)
        wrong = wrong or zlib.crc32(kind + content).to_bytes(4, 'big') != checksum
        if kind == b'IEND':
            break
    return animated and (wrong or kind != b'IEND')


def _start_of_scan(content: bytes) -> int:
    """Offset of the picture's data: an EXIF thumbnail before it has an end marker too."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _JPEG_SCAN:
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return position
