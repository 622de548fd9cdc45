"""What a user gives to predict, as files and arrays."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image, ImageOps

from deepunetto_mm.datasets.integrity import require_sound
from deepunetto_mm.utils.files import PictureNames
from deepunetto_mm.utils.picture_files import list_pictures, require_bgr

Picture = Union[str, Path, np.ndarray, Image.Image, torch.Tensor]


@dataclass
class Source:
    """A picture to predict: a file, or an array in memory."""

    name: str
    path: Optional[Path] = None
    array: Optional[np.ndarray] = None


def list_sources(pictures: Union[Picture, Sequence[Picture]]) -> list[Source]:
    """All pictures to predict, checked as far as possible without decoding."""
    names, sources = PictureNames(), []
    for name, item in list_pictures(pictures, _bgr, lambda others: print_log(others, 'current', logging.WARNING)):
        if isinstance(item, Path):
            sources.append(Source(names(name), path=item))
            require_sound(dict(img_path=name), 'img_path')
        else:
            sources.append(Source(names(name), array=item))
    return sources


def _bgr(picture: Any, position: int) -> np.ndarray:
    """A picture in memory as OpenCV would read it: (H, W, 3) uint8 BGR."""
    if isinstance(picture, np.ndarray):
        return require_bgr(picture, position)
    if isinstance(picture, torch.Tensor):
        floats = picture.is_floating_point()
        array = (picture.float() if floats else picture).detach().cpu().numpy()
        if floats and array.size and array.min() >= 0 and array.max() <= 1:
            array = np.rint(array * 255).astype(np.uint8)
        if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8 or 0 in array.shape:
            raise ValueError(
                f'picture {position} is a tensor {tuple(picture.shape)} of {picture.dtype}; (3, H, W) RGB is wanted, '
                'uint8 or floats of 0..1'
            )
        return np.ascontiguousarray(array.transpose(1, 2, 0)[..., ::-1])
    if not isinstance(picture, Image.Image):
        raise TypeError(
            f'picture {position} is a {type(picture).__name__}; a path, an array, a picture of Pillow, a tensor, or a '
            'list of those is wanted'
        )
    # OpenCV rotates a file by its EXIF orientation; Pillow does not.
    upright = ImageOps.exif_transpose(picture) or picture
    if upright.mode in ('I', 'F') or upright.mode.startswith('I;'):
        raise ValueError(
            f'picture {position} is a picture of mode {upright.mode!r}; scale it to 8 bits, as only you know its range '
            'of values'
        )
    return np.ascontiguousarray(np.asarray(upright.convert('RGB'))[..., ::-1])
