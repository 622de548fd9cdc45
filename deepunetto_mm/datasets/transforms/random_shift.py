"""Random strengths of a transform, for augmentation."""

from typing import Any, Mapping

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from deepunetto_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomShift(BaseTransform):
    """Draw options of a transform for each picture: what :class:`ColourShift` and :class:`StainShift` test, as
    augmentation.

    Args:
        transform: Type of the transform.
        ranges: Smallest and largest value of each of its options, which are drawn independently and uniformly.

    Raises:
        ValueError: If a range is not a pair in order, or the transform refuses one of its ends.
    """

    def __init__(self, transform: str, ranges: Mapping[str, Any]) -> None:
        for name, span in ranges.items():
            if np.shape(span) != (2,) or not span[0] <= span[1]:
                raise ValueError(f'RandomShift: {name} needs its smallest and its largest value, got {span!r}')
        self.kind = transform
        self.ranges = dict(ranges)
        for end in (0, 1):  # an error now, not in the middle of a training
            self._build({name: span[end] for name, span in self.ranges.items()})

    def _build(self, options: dict) -> Any:
        return TRANSFORMS.build(dict(type=self.kind, **options))

    @cache_randomness
    def _draw(self) -> dict[str, float]:
        return {name: np.random.uniform(*span) for name, span in self.ranges.items()}

    def transform(self, results: dict) -> dict:
        """Apply the transform with options drawn."""
        return self._build(self._draw())(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transform={self.kind!r}, ranges={self.ranges})'
