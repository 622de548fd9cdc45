"""Pictures of more than 8 bits, of several pages or of other bands than red, green and blue."""

from typing import Optional, Sequence

import cv2
import numpy as np
from mmengine import fileio

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform


@TRANSFORMS.register_module()
class LoadScaledImage(Transform):
    """Read a picture of any bit depth, and scale a range of its values to 0..255. Replaces ``LoadImageFromFile``.

    ``LoadImageFromFile`` keeps the upper 8 of 16 bits, so that of a camera's 12 bits 16 grey levels are left; it reads
    the first page and the first three bands, and no floats.

    ::

        dict(type='deepunetto_mm.LoadScaledImage', low=-1024, high=3071)          # a slice of a CT
        dict(type='deepunetto_mm.LoadScaledImage', low=0, high=10000, channels=(3, 0, 1))  # near infrared, red, green

    Pixels are read as they are stored: an EXIF orientation does not turn them.

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
        DataError: If a file cannot be decoded, or lacks the page or a band.
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
        content = np.frombuffer(fileio.get(path, backend_args=self.backend_args), np.uint8)
        if not self.page:
            stored = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        else:
            pages = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED)[1]
            if len(pages) <= self.page:
                raise DataError(
                    f'{path}: it has {len(pages)} pages, and LoadScaledImage is to read page {self.page}, counted from '
                    '0; set page',
                    'picture of few pages',
                )
            stored = pages[self.page]
        if stored is None:
            raise DataError(f'{path}: cannot be decoded; copy it again, or write it as PNG or TIFF', 'unreadable file')
        return stored
