"""A weight for each pixel: higher between neighbouring objects, and higher in rare classes."""

import hashlib
from pathlib import Path
from typing import Optional, Sequence, Union

import numpy as np

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.unet2015.border_weights import border_weights, class_balance
from deepunetto_mm.utils.files import whole_file
from deepunetto_mm.utils.transform import Transform

CLASS_WEIGHTS = ('frequency', 'none')


@TRANSFORMS.register_module()
class AddBorderWeights(Transform):
    """Weight the pixels as Ronneberger, Fischer and Brox do in *U-Net* (MICCAI 2015).

    The weight of a pixel is ``w_c + w0 * exp(-(d1 + d2)^2 / (2 * sigma^2))``: w_c is the weight of its class, d1 and d2
    are the distances to the borders of the nearest and the second nearest region (:func:`border_weights`). Ignored
    pixels weigh 0. ``PackRegionInputs`` packs the map, and ``UNetDecoder`` or any other ``PixelWeightedHead`` passes it
    to its cross entropy.

    Use it after all transforms that move pixels, directly before ``PackRegionInputs``: distances change when the map is
    resized, and it weighs what is then in sight. Or, for speed, before them, with ``cache_dir``: transforms move the
    weights as they move labels, by the nearest pixel. A picture without a mask, for prediction only, is returned
    unchanged.

    Required keys: ``gt_seg_map`` (H, W) and ``gt_region_map`` (H, W). Added keys: ``gt_weight_map`` (H, W) float32,
    which is added to ``seg_fields``, too, if there are any, and to ``target_maps``.

    Args:
        w0: Weight where two borders meet, added to that of the class; 0 gives only class weights.
        sigma: How fast the weight falls with distance, in pixels.
        class_weights: ``'frequency'``: every class of the picture has the same total weight, and the mean w_c is 1.
            ``'none'``: w_c is 1. Or a number for each class, for example from the frequencies in the whole dataset. Do
            not set the loss's ``class_weight`` in addition, which would multiply the weights.
        ignore_index: Label of the pixels that weigh 0.
        cache_dir: A folder that stores the border terms, created if necessary; None computes them each time. File names
            depend on the region map and the options, so files are never outdated. Useful if no random transform moves
            the pixels; otherwise few maps repeat, and the folder grows without limit.

    Raises:
        ValueError: If an option is out of range, there is a mask but no region map or one of another size, or a label
            has no class weight.
    """

    def __init__(
        self,
        w0: float = 10.0,
        sigma: float = 5.0,
        class_weights: Union[str, Sequence[float]] = 'frequency',
        ignore_index: int = 255,
        cache_dir: Optional[str] = None,
    ) -> None:
        if w0 < 0 or sigma <= 0:
            raise ValueError(
                f'AddBorderWeights: w0 must be at least 0 and sigma above 0, got w0={w0} and sigma={sigma}'
            )
        if isinstance(class_weights, str):
            if class_weights not in CLASS_WEIGHTS:
                raise ValueError(
                    f'AddBorderWeights: class_weights must be one of {CLASS_WEIGHTS} or a number for each class, got '
                    f'{class_weights!r}'
                )
        elif min(class_weights, default=-1) < 0:
            raise ValueError(f'AddBorderWeights: class_weights must be at least 0 for each class, got {class_weights}')
        self.w0 = w0
        self.sigma = sigma
        self.class_weights = class_weights
        self.ignore_index = ignore_index
        self.cache_dir = cache_dir

    def transform(self, results: dict) -> dict:
        """Add ``gt_weight_map``."""
        if 'gt_seg_map' not in results:
            return results
        if 'gt_region_map' not in results:
            raise ValueError(
                'AddBorderWeights found a mask and no region map; put deepunetto_mm.LoadRegions after LoadAnnotations '
                'in the pipeline'
            )
        mask, region_map = results['gt_seg_map'], results['gt_region_map']
        if mask.shape != region_map.shape:
            raise ValueError(
                f'AddBorderWeights: gt_seg_map is {mask.shape} and gt_region_map {region_map.shape}; use transforms '
                "that move all of seg_fields, under default_scope='mmseg'"
            )
        weights = self._of_classes(mask) + self._of_borders(region_map)
        weights[mask == self.ignore_index] = 0
        results['gt_weight_map'] = weights
        results.setdefault('target_maps', {})['gt_weight_map'] = 'deepunetto_mm.AddBorderWeights'
        if 'seg_fields' in results and 'gt_weight_map' not in results['seg_fields']:
            results['seg_fields'].append('gt_weight_map')
        return results

    def _of_classes(self, mask: np.ndarray) -> np.ndarray:
        """w_c of each pixel, (H, W) float32."""
        if self.class_weights == 'frequency':
            return class_balance(mask, self.ignore_index)
        if self.class_weights == 'none':
            return np.ones(mask.shape, np.float32)
        labels = np.where(mask == self.ignore_index, 0, mask)
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(self.class_weights):
            raise ValueError(
                f'AddBorderWeights: the mask has labels from {labels.min()} to {labels.max()}, but class_weights has '
                f'{len(self.class_weights)} numbers'
            )
        return np.asarray(self.class_weights, np.float32)[labels]

    def _of_borders(self, region_map: np.ndarray) -> np.ndarray:
        """The border term of each pixel, (H, W) float32, from the cache if there is one."""
        if self.cache_dir is None:
            return border_weights(region_map, self.w0, self.sigma)
        content = np.ascontiguousarray(region_map, np.int64)
        key = hashlib.sha256(repr((float(self.w0), float(self.sigma), content.shape)).encode())
        key.update(content.data)
        path = Path(self.cache_dir) / f'{key.hexdigest()}.npy'
        try:
            return np.load(path)
        except (OSError, ValueError, EOFError):  # missing or damaged
            weights = border_weights(region_map, self.w0, self.sigma)
            # Whole or not at all: other workers read and write the same folder.
            with whole_file(path) as incomplete, incomplete.open('wb') as file:
                np.save(file, weights)
            return weights
