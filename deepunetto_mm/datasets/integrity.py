"""Checks of a file before it is decoded."""

import functools
import os
import warnings
from typing import Any, BinaryIO, Mapping, Optional

import cv2
import mmcv
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, ImageFileDirectory_v2

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import require_complete

# Formats that do not change labels. Pillow, which reads masks, would pass EPS with any suffix to Ghostscript.
_LABEL_FORMATS = ('BMP', 'GIF', 'PNG', 'PPM', 'TIFF')

PATHS = ('img_path', 'seg_map_path', 'region_map_path')  # keys of a sample's files, in mmengine's data lists


def require_sound(info: Mapping[str, Any], key: str) -> None:
    """Raise if a local file of a sample is invalid; this reads its two ends and its header, without decoding.

    A process checks a file once, and again if its time or size changed. So a run with persistent workers, or without
    workers, does not check it in every epoch.

    A picture may have as many pixels as Pillow, which reads the masks, allows: twice ``PIL.Image.MAX_IMAGE_PIXELS``,
    by default 178,956,970 pixels. OpenCV allows 2^30, so a file of 48 KB may take 1.2 GB. A format that neither of them
    knows passes: it is for another loader.

    Args:
        info: The sample in the data list. Its masks may have ``mask_bits`` (8).
        key: One of ``PATHS``; an absent key, or None, passes.

    Raises:
        DataError: If the file is truncated, has too many pixels, or an unreadable header; if its labels are in a
            format that may change them; if it is a mask of more bits, or a region map of fractions.
        FileNotFoundError: If there is no such file.
    """
    path = info.get(key)
    if path is None:  # for example a picture that comes as an array
        return
    state = os.stat(path)
    _look_once(os.fspath(path), key, info.get('mask_bits', 8), state.st_mtime_ns, state.st_size, Image.MAX_IMAGE_PIXELS)


@functools.lru_cache(maxsize=2**17)  # errors are not cached
def _look_once(path: str, key: str, mask_bits: int, *state: Optional[int]) -> None:
    require_complete(path)
    header = _read_header(path, key)
    if header is not None and key != 'img_path':
        _require_labels(path, header, key, mask_bits)


def require_decodable(info: Mapping[str, Any], key: str) -> None:
    """Raise if a file cannot be decoded as mmcv and mmseg do it: to find the cause after a failure.

    Args:
        info: The sample, which passed :func:`require_sound`. If it has ``img``, its picture has been read.
        key: One of ``PATHS``; an absent key passes, and so does a file of no known format.

    Raises:
        DataError: If it cannot.
    """
    path = info.get(key)
    if path is None or (key == 'img_path' and 'img' in info) or _read_header(path, key) is None:
        return
    flag, backend = ('color', 'cv2') if key == 'img_path' else ('unchanged', 'pillow')
    try:
        if mmcv.imread(path, flag, backend=backend) is None:
            raise ValueError('damaged, or of an unknown type')
    except Exception as error:  # each decoder has its own
        why = ' '.join(f'{type(error).__name__}: {error}'.split())
        message = f'{path}: cannot be decoded ({why}); copy it again, or write it as PNG'
        raise DataError(message, 'unreadable file') from error


def _read_header(path: str, key: str) -> Optional[Image.Image]:
    """A picture with an allowed number of pixels, not decoded; None if neither Pillow nor OpenCV knows its format."""
    with open(path, 'rb') as file, warnings.catch_warnings():
        # Of more than half of what it allows, Pillow warns.
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        try:
            return Image.open(file)
        except Image.DecompressionBombError as error:
            raise DataError(
                f'{path}: {str(error).rstrip(".")}; if the picture is valid, set '
                'PIL.Image.MAX_IMAGE_PIXELS to half of its pixels or more',
                'too many pixels',
            ) from error
        except UnidentifiedImageError as error:
            file.seek(0)
            if tags := read_tiff_tags(file):
                fix = (
                    'scale it to 0..255 and write it with 8 bits'
                    if key == 'img_path'
                    else 'write the same numbers with 8 bits, or region ids with 16'
                )
                message = f'{path}: {tiff_kind(tags)}, which is not read; {fix}'
                raise DataError(message, 'unreadable file') from error
            if os.path.splitext(path)[1].lower() in Image.registered_extensions():
                what = 'not a picture, or a damaged one'
            elif cv2.haveImageReader(path):
                what = 'the size of such a file is unknown before it is decoded'
            else:
                return None
            raise DataError(f'{path}: {what}; copy it again, or write it as PNG', 'unreadable file') from error
        except Exception as error:  # Pillow's readers have several
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk, not of the file's content
            raise DataError(
                f'{path}: its header cannot be read ({error}); copy or write it again', 'unreadable file'
            ) from error


def read_tiff_tags(file: BinaryIO, page: int = 0) -> Optional[ImageFileDirectory_v2]:
    """The tags of a page of a TIFF; None if the file is no sound TIFF, or has no such page."""
    try:
        head = file.read(8)
        tags = ImageFileDirectory_v2(head + file.read(8) if 43 in head[2:4] else head)  # 43: offsets of 64 bits
        for _ in range(page + 1):
            if not tags.next:
                return None
            file.seek(tags.next)
            tags.load(file)
        return tags if BITSPERSAMPLE in tags else None
    except Exception:  # Pillow's readers have several
        return None


def tiff_kind(tags: ImageFileDirectory_v2) -> str:
    """What a TIFF holds, in words."""
    bits, numbers = tags[BITSPERSAMPLE], tags.get(SAMPLEFORMAT, (1,))[0]
    kind = {1: 'whole numbers', 2: 'whole numbers', 3: 'floats'}.get(numbers, 'numbers of an odd kind')
    return f'a TIFF of {len(bits)} channel{"s" * (len(bits) > 1)}, {kind} of {bits[0]} bits'


def _require_labels(path: str, header: Image.Image, key: str, mask_bits: int) -> None:
    if header.format not in _LABEL_FORMATS or header.info.get('compression') == 'jpeg':
        raise DataError(
            f'{path}: labels in {header.format}{" of JPEG" * (header.format == "TIFF")}, which may change them; write '
            'them again as PNG, from their original source',
            'lossy labels',
        )
    require_upright(path, header)
    wide = header.mode in ('I', 'F') or header.mode.startswith('I;16')
    # Pillow up to 11 calls 16 bits of a PNG I, like 32 of a TIFF.
    bits = 16 if header.format == 'PNG' or header.mode.startswith('I;16') else 32
    if key == 'seg_map_path' and wide and bits > mask_bits:
        # mmseg would read labels modulo 256, and 256 as class 0.
        raise DataError(
            f'{path}: a mask of {bits} bits; save it with 8 bits, the index of a class at each pixel (masks of 16 bits '
            'are read by LoadComposedAnnotations)',
            f'mask of {bits} bits',
        )
    if header.mode == 'F':
        raise DataError(
            f'{path}: a region map of fractions; save it with 16 bits, the id of a region at each pixel', 'region map'
        )


def require_upright(path: str, header: Image.Image) -> None:
    """Raise if Pillow inverts the numbers of a file of labels.

    Raises:
        DataError: If it is a TIFF in which 0 is white.
    """
    if header.format == 'TIFF' and getattr(header, 'tag_v2', {}).get(PHOTOMETRIC_INTERPRETATION) == 0:
        raise DataError(
            f'{path}: a TIFF whose numbers are inverted when it is read (0 is white, as with an inverting LUT of '
            'ImageJ); write the labels as PNG, or without the inverting LUT',
            'inverted labels',
        )
