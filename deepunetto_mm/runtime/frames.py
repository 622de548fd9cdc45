"""From a picture to the input of an exported network, and its regions into that frame: what mmcv does, on arrays."""

from typing import Any, Mapping, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.utils.white_patch import adapt_to_white

_INTERPOLATIONS = dict(
    nearest=cv2.INTER_NEAREST,
    bilinear=cv2.INTER_LINEAR,
    bicubic=cv2.INTER_CUBIC,
    area=cv2.INTER_AREA,
    lanczos=cv2.INTER_LANCZOS4,
)


def transformed(picture: np.ndarray, transforms: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """A picture (H, W, 3) uint8 after those transforms of ``model.json`` that are the runtime's, in their order."""
    for transform in transforms:
        if transform['by'] == 'runtime':
            options = {key: value for key, value in transform.items() if key not in ('type', 'by')}
            picture = _TRANSFORMS[transform['type']](picture, **options)
    return picture


def resize(
    picture: np.ndarray,
    scale: Optional[Sequence[int]],
    scale_factor: Optional[Sequence[float]],
    keep_ratio: bool,
    interpolation: str,
) -> np.ndarray:
    """Resize a picture (H, W, 3) as mmcv's ``Resize``.

    Args:
        picture: (H, W, 3) uint8.
        scale: Width and height; None for ``scale_factor`` times those of the picture.
        scale_factor: Of width and height; None with a ``scale``.
        keep_ratio: Make it as large as fits: the longer side in the larger number, the shorter one in the other.
        interpolation: ``'nearest'``, ``'bilinear'``, ``'bicubic'``, ``'area'`` or ``'lanczos'``.
    """
    size = picture.shape[1::-1]
    scale = _times(size, scale_factor or (1, 1)) if scale is None else scale
    if keep_ratio:
        factor = min(max(scale) / max(size), min(scale) / min(size))
        scale = _times(size, (factor, factor))
    return cv2.resize(picture, tuple(scale), interpolation=_INTERPOLATIONS[interpolation])


def _times(size: Sequence[int], factors: Sequence[float]) -> list[int]:
    return [int(side * factor + 0.5) for side, factor in zip(size, factors)]


def regions_of_input(bboxes: np.ndarray, region_map: np.ndarray, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and map of regions in the frame of the network's input: what ``to_input_frame`` does without padding.

    Args:
        bboxes: (R, 4) float32, xyxy in pixels of the picture.
        region_map: (h, w) integers, of the picture.
        size: Height and width of the input.
    """
    height, width = region_map.shape
    scale = np.array([size[1] / width, size[0] / height] * 2, np.float32)
    # The pixel in which the middle of each pixel of the input lies.
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, region_map.shape))
    return bboxes * scale, region_map[rows[:, None], columns]


_TRANSFORMS: dict[str, Any] = dict(ChromaticAdaptation=adapt_to_white, Resize=resize)
