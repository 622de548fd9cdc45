"""What transforms of data have in common."""

import inspect

from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """Base of transforms that keep their options as attributes of the same names, and are printed with them."""

    def __repr__(self) -> str:
        names = [name for name in inspect.signature(type(self)).parameters if hasattr(self, name)]
        return f'{type(self).__name__}({", ".join(f"{name}={getattr(self, name)!r}" for name in names)})'
