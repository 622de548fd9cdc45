"""What is lost when a picture is read from its file."""

import warnings
from typing import Any, Optional

import cv2
import numpy as np
from PIL import ExifTags, Image

from deepunetto_mm.utils.errors import DataError

from .transforms import LoadScaledImage

_SIXTEEN_BIT_PNG = 16
_BITS, _NUMBERS, _BANDS = 258, 339, 277  # tags of TIFF
_ADVICE = 'deepunetto_mm.LoadScaledImage in place of LoadImageFromFile can read another'


def losses_of_reading(path: str, image: np.ndarray, loader: Any, with_masks: bool) -> list[DataError]:
    """Differences of a picture from its file: lost content, or another orientation.

    For files of 8 bits, one page and three bands only the header is read; others are decoded again.

    Args:
        path: A local file.
        image: (H, W, C) as it was read.
        loader: The transform that read it. ``LoadScaledImage`` reads what its options say.
        with_masks: Whether there are masks or annotations, which are not turned by an EXIF orientation.

    Returns:
        An error for each, which is not raised. None for files that Pillow does not know.
    """
    if isinstance(loader, LoadScaledImage):
        return []
    found = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as header:
                pages = 1 if header.format == 'MPO' else getattr(header, 'n_frames', 1)
                wide, several = _is_wide(path, header), _may_have_more_bands(header)
                orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's readers have several
        return []
    if pages > 1:
        found.append(DataError(f'{path}: it has {pages} pages, of which the first is read; {_ADVICE}', 'several pages'))
    stored = cv2.imread(path, cv2.IMREAD_UNCHANGED) if wide or several else None
    if stored is not None and stored.dtype != image.dtype and image.dtype == np.uint8:
        found.append(_lost_bits(path, stored, image))
    if stored is not None and stored.ndim == 3 and stored.shape[2] > max(3, image.shape[-1]):
        found += _lost_bands(path, stored)
    turned = getattr(loader, 'color_type', 'color') in ('color', 'grayscale')
    if with_masks and turned and orientation not in (0, 1):
        message = (
            f'{path}: its EXIF orientation {orientation} turns the picture when it is read, and not its mask. If the '
            "mask was drawn on the pixels as stored, set color_type='color_ignore_orientation' of LoadImageFromFile"
        )
        found.append(DataError(message, 'picture turned by EXIF'))
    return found


def unread_values(path: str) -> str:
    """What a file holds that OpenCV reads and ``LoadImageFromFile`` does not, such as floats; '' if that is not so."""
    stored: Optional[np.ndarray] = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype == np.uint8:
        return ''
    low, high = np.nanmin(stored), np.nanmax(stored)
    return (
        f'values of {stored.dtype.itemsize * 8} bits ({stored.dtype}), {low:g} to {high:g}, which LoadImageFromFile '
        f'cannot read; deepunetto_mm.LoadScaledImage(low={low:g}, high={high:g}) in place of it can'
    )


def _is_wide(path: str, header: Image.Image) -> bool:
    """Whether a channel may have more than 8 bits, or a sign."""
    if header.format == 'PNG':  # Pillow hides 16 bits of colours
        with open(path, 'rb') as file:
            return file.read(25)[24] == _SIXTEEN_BIT_PNG
    if header.format == 'TIFF':
        tags = header.tag_v2  # type: ignore[attr-defined]
        return max(tags.get(_BITS, (1,))) > 8 or tags.get(_NUMBERS, (1,))[0] != 1
    return header.format in ('PPM', 'JPEG2000')


def _may_have_more_bands(header: Image.Image) -> bool:
    if header.format == 'TIFF':
        return header.tag_v2.get(_BANDS, 1) > 3 and header.mode != 'CMYK'  # type: ignore[attr-defined]
    return header.mode in ('RGBA', 'LA', 'PA')


def _lost_bits(path: str, stored: np.ndarray, image: np.ndarray) -> DataError:
    # Of a fourth band nothing is read in any case.
    values = stored[..., :3] if stored.ndim == 3 else stored
    levels, left = (len(np.unique(array)) for array in (values, image))
    low, high = values.min(), values.max()
    return DataError(
        f'{path}: values of {stored.dtype.itemsize * 8} bits ({stored.dtype}), {low:g} to {high:g} in {levels} levels, '
        f'are read as {image.min()} to {image.max()} in {left} levels; deepunetto_mm.LoadScaledImage(low={low:g}, '
        f'high={high:g}) in place of LoadImageFromFile scales them, by one range for all pictures',
        f'picture of {stored.dtype.itemsize * 8} bits',
    )


def _lost_bands(path: str, stored: np.ndarray) -> list[DataError]:
    rest = stored[..., 3]
    opaque = np.iinfo(rest.dtype).max if rest.dtype.kind in 'iu' else 1
    if (rest == opaque).all():
        return []  # nothing is transparent
    return [
        DataError(
            f'{path}: it has {stored.shape[2]} bands, of which the first 3 are read; the fourth, of transparency or of '
            f'another kind, has values {rest.min():g} to {rest.max():g}. {_ADVICE}',
            'fourth band',
        )
    ]
