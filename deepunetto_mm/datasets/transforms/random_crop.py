"""Random crops, chosen sooner."""

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop as MMSegRandomCrop

from deepunetto_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCrop(MMSegRandomCrop):
    """mmseg's ``RandomCrop``, with the same crops from the same random numbers, in less time.

    With ``cat_max_ratio`` mmseg sorts the labels of each candidate, here they are counted.

    Args:
        crop_size, cat_max_ratio, ignore_index: As in mmseg.
    """

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of a crop, of which one class covers less than ``cat_max_ratio``, if ten draws
        find one.

        Args:
            results: With ``img`` (H, W, ...), and for ``cat_max_ratio`` ``gt_seg_map`` (H, W).
        """
        box = self._draw(results['img'])
        if self.cat_max_ratio >= 1:
            return box
        for _ in range(10):
            labels = self.crop(results['gt_seg_map'], box)
            if labels.dtype == np.uint8:
                counts = np.bincount(labels.ravel(), minlength=256)
                if 0 <= self.ignore_index < 256:
                    counts[self.ignore_index] = 0
            else:
                found, counts = np.unique(labels, return_counts=True)
                counts = counts[found != self.ignore_index]
            if (counts > 0).sum() > 1 and counts.max() / counts.sum() < self.cat_max_ratio:
                break
            box = self._draw(results['img'])
        return box

    def _draw(self, image: np.ndarray) -> tuple[int, int, int, int]:
        top, left = (np.random.randint(0, max(size - crop, 0) + 1) for size, crop in zip(image.shape, self.crop_size))
        return top, top + self.crop_size[0], left, left + self.crop_size[1]
