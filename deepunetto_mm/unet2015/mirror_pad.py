"""Padding of a picture with its mirror image."""

from typing import Optional

import numpy as np

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform


@TRANSFORMS.register_module()
class MirrorPad(Transform):
    """Pad a picture with its mirror image, as Ronneberger, Fischer and Brox do in *U-Net* (MICCAI 2015).

    An unpadded network predicts only the centre of its input. With its margin mirrored around the picture, crops of the
    network's input size can have their centre anywhere in the picture, including the border. Only for training: in
    prediction ``TiledEncoderDecoder`` mirrors, so that the result has the size of the picture.

    The outer pixels are not repeated, and a picture smaller than the padding is mirrored as often as needed.

    Required keys: ``img`` (H, W, C) or (H, W), and the maps (H, W) listed in ``seg_fields``, if there are any. Modified
    keys: the same, of ``2 * padding`` more rows and columns, and ``img_shape``.

    Args:
        padding: Pixels on each of the four sides: for ``UNet2015Head`` its margin, 92 for a depth of 5.
        seg_pad_val: Label of the padding. None mirrors the labels as well, so that pixels moved into the centre by a
            later rotation or deformation also train; the mirror image of a region has the region's id. In a region map
            255 and 0 mean no region.

    Raises:
        ValueError: If ``padding`` is negative, or a map has another size than the picture.
    """

    def __init__(self, padding: int = 92, seg_pad_val: Optional[int] = None) -> None:
        if padding < 0:
            raise ValueError(f'MirrorPad: padding must be at least 0 pixels, got {padding}')
        self.padding = padding
        self.seg_pad_val = seg_pad_val

    def transform(self, results: dict) -> dict:
        """Pad ``img`` and the maps of ``seg_fields``."""
        size = results['img'].shape[:2]
        results['img'] = self._mirror(results['img'])
        results['img_shape'] = results['img'].shape[:2]
        for key in results.get('seg_fields', ()):
            if results[key].shape[:2] != size:
                raise ValueError(
                    f'MirrorPad: {key} is {results[key].shape[:2]} and the picture {size}; use transforms that move '
                    "all of seg_fields, under default_scope='mmseg'"
                )
            if self.seg_pad_val is None:
                results[key] = self._mirror(results[key])
            else:
                results[key] = np.pad(results[key], self.padding, constant_values=self.seg_pad_val)
        return results

    def _mirror(self, array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(self.padding, self.padding)] * 2 + [(0, 0)] * (array.ndim - 2), mode='reflect')
