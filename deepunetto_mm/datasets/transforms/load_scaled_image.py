"""Pictures of more than 8 bits, of several pages or of other bands than red, green and blue."""

import io
from typing import Optional, Sequence

import cv2
import numpy as np
from mmengine import fileio
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLESPERPIXEL,
    ImageFileDirectory_v2,
)

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform

from ..integrity import read_tiff_tags, tiff_kind

_WHITE_IS_0, _GREY, _RGB = 0, (0, 1), 2  # photometric interpretations
_INTERLEAVED = 1
_UNASSOCIATED_ALPHA = 2


@TRANSFORMS.register_module()
class LoadScaledImage(Transform):
    """Read a picture of any bit depth, and scale a range of its values to 0..255. Replaces ``LoadImageFromFile``.

    ``LoadImageFromFile`` keeps the upper 8 of 16 bits, so that of a camera's 12 bits 16 grey levels are left; it reads
    the first page and the first three bands, and no floats.

    ::

        dict(type='deepunetto_mm.LoadScaledImage', low=-1024, high=3071)          # a slice of a CT
        dict(type='deepunetto_mm.LoadScaledImage', low=0, high=10000, channels=(3, 0, 1))  # near infrared, red, green

    Pixels are read as they are stored: an EXIF orientation does not turn them. Three or four bands of a TIFF are read
    if it calls them RGB and stores them pixel by pixel, and those of 32 bits and more if it calls them grey, too.

    Required keys: ``img_path``. Added keys: ``img`` (H, W, 3) uint8 BGR, ``img_shape`` and ``ori_shape`` (H, W).

    Args:
        low: Value that becomes 0, as do all below, and what is not a number.
        high: Value that becomes 255, as do all above.
        channels: Which bands, counted from 0 in the order of the file, become red, green and blue. By default the first
            three; a picture of one band is grey.
        page: Which page of a TIFF, counted from 0.
        backend_args: Of mmengine's file backends.

    Raises:
        ValueError: If ``high`` is not above ``low``, or ``channels`` are not three.
        DataError: If a file cannot be decoded, lacks the page or a band, or is a TIFF of another layout.
    """

    def __init__(
        self,
        low: float,
        high: float,
        channels: Optional[Sequence[int]] = None,
        page: int = 0,
        backend_args: Optional[dict] = None,
    ) -> None:
        if not low < high:
            raise ValueError(f'LoadScaledImage: high must be above low, got low={low} and high={high}')
        if page < 0 or (channels is not None and (len(channels) != 3 or min(channels) < 0)):
            raise ValueError(
                f'LoadScaledImage: channels are three numbers and page is one, from 0 on, got {channels} and {page}'
            )
        self.low = low
        self.high = high
        self.channels = channels
        self.page = page
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the picture."""
        path = results['img_path']
        stored = self._read(path)
        # OpenCV puts blue first.
        bands = [stored] if stored.ndim == 2 else [stored[..., i] for i in (2, 1, 0, 3)[: stored.shape[2]]]
        channels = self.channels or ((0, 0, 0) if len(bands) == 1 else (0, 1, 2))
        if max(channels) >= len(bands):
            raise DataError(
                f'{path}: it has {len(bands)} bands, and LoadScaledImage is to read {tuple(channels)}; set channels',
                'picture of few bands',
            )
        values = np.stack([bands[i] for i in reversed(channels)], axis=-1).astype(np.float32)
        scaled = np.nan_to_num((values - self.low) * (255 / (self.high - self.low)), nan=0.0)
        results['img'] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        results['img_shape'] = results['ori_shape'] = stored.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        content = fileio.get(path, backend_args=self.backend_args)
        tags = read_tiff_tags(io.BytesIO(content), self.page)
        if not self.page:
            stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        else:
            try:
                pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[1]
            except cv2.error:  # because of any page
                pages = ()
            if len(pages) <= self.page and tags is None:
                raise DataError(
                    f'{path}: it has {len(pages)} pages, and LoadScaledImage is to read page {self.page}, counted from '
                    '0; set page',
                    'picture of few pages',
                )
            stored = pages[self.page] if self.page < len(pages) else None
        if tags is not None and not _is_as_stored(tags, stored):
            raise DataError(
                f'{path}: {_layout(tags)}, which OpenCV does not read as it is stored; write the three bands that you '
                'need as RGB, pixel by pixel, such as by gdal_translate -b 4 -b 1 -b 2 -co PHOTOMETRIC=RGB -co '
                'INTERLEAVE=PIXEL, and leave out channels',
                'layout of a TIFF',
            )
        if stored is None:
            raise DataError(f'{path}: cannot be decoded; copy it again, or write it as PNG or TIFF', 'unreadable file')
        if tags is not None and tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_0 and stored.dtype == np.uint8:
            return 255 - stored  # up to 8 bits OpenCV inverts them, and no others
        return stored


def _layout(tags: ImageFileDirectory_v2) -> str:
    colours = tags.get(PHOTOMETRIC_INTERPRETATION)
    parts = [
        tiff_kind(tags),
        f'photometric {("MINISWHITE", "MINISBLACK", "RGB")[colours] if colours in (*_GREY, _RGB) else colours}',
        'pixel by pixel' if _is_interleaved(tags) else 'band by band',
    ]
    return ', '.join(parts + ['with transparency'] * _has_transparency(tags))


def _is_interleaved(tags: ImageFileDirectory_v2) -> bool:
    return tags.get(PLANAR_CONFIGURATION, _INTERLEAVED) == _INTERLEAVED


def _has_transparency(tags: ImageFileDirectory_v2) -> bool:
    return _UNASSOCIATED_ALPHA in tags.get(EXTRASAMPLES, ())


def _is_as_stored(tags: ImageFileDirectory_v2, decoded: Optional[np.ndarray]) -> bool:
    """Whether OpenCV decodes the bands of a TIFF and nothing else; found by trying all layouts with 4.10 and 5.0."""
    bands, bits, colours = (tags.get(tag, 1) for tag in (SAMPLESPERPIXEL, BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION))
    if bands == 1:
        return True
    if bands not in (3, 4):
        return False
    if bits[0] > 8:
        return _is_interleaved(tags) and (colours == _RGB or bits[0] >= 32)
    # With 8 bits, the others are multiplied by the transparency.
    opaque = decoded is None or not _has_transparency(tags) or bool((decoded[..., 3:] == 255).all())
    return colours not in _GREY and opaque
