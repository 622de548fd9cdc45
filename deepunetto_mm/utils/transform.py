"""What transforms of data have in common."""

import inspect

import numpy as np
from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """Base of transforms that keep their options as attributes of the same names, and are printed with them."""

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self)).parameters if hasattr(self, name)]
        return f'{type(self).__name__}({", ".join(f"{name}={getattr(self, name)!r}" for name in names)})'

    def colours(self, results: dict, fix: str) -> np.ndarray:
        """The picture of a sample; raise ValueError, which ends with the fix, unless it is (H, W, 3) uint8."""
        image = results['img']
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(
                f'{type(self).__name__} needs colour pictures of 8 bits, {results.get("img_path")} is {image.dtype} of '
                f"shape {image.shape}; {fix} with color_type='color' and without to_float32"
            )
        return image
