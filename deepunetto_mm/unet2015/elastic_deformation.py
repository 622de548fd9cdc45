"""Elastic deformation of a picture and its maps."""

from typing import Optional, Sequence, Union

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness
from scipy import ndimage

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform

INTERPOLATIONS = dict(nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC)


@TRANSFORMS.register_module()
class ElasticDeformation(Transform):
    """Random smooth deformation, as in Ronneberger, Fischer and Brox, *U-Net* (MICCAI 2015).

    A displacement is drawn from a Gaussian for each point of a coarse grid, 3x3 in the paper, whose outer points lie on
    the centres of the picture's outer pixels. Bicubic interpolation of these gives the displacements of the pixels. A
    pixel x of the new picture has the value of the old one at x + displacement.

    The maps of ``seg_fields`` move by the same displacements, and take the nearest pixel's label. Numbers come from
    numpy's global generator, as for mmcv's and mmseg's transforms.

    Required keys: ``img`` (H, W, C) or (H, W), and the maps (H, W) listed in ``seg_fields``, if there are any. Modified
    keys: the same, of unchanged shapes and types.

    Args:
        sigma: Standard deviation of the displacements along each axis, in pixels.
        points: Points of the grid along each axis, at least 2.
        prob: Probability that a picture is deformed.
        interpolation: Of the picture: ``'bilinear'``, ``'bicubic'`` or ``'nearest'``.
        pad_val: Value of the picture beyond its original edge: None mirrors it, as in the paper; or a number, or one
            for each channel.
        seg_pad_val: Label beyond the original edge. In a region map 255 and 0 mean no region. None mirrors the labels
            as well: then no pixel is lost for training, but an object near the edge may appear twice, as two parts of
            one region.

    Raises:
        ValueError: If an option is out of range, or a map has another size than the picture.
    """

    def __init__(
        self,
        sigma: float = 10.0,
        points: int = 3,
        prob: float = 1.0,
        interpolation: str = 'bilinear',
        pad_val: Optional[Union[float, Sequence[float]]] = None,
        seg_pad_val: Optional[int] = 255,
    ) -> None:
        if sigma < 0 or points < 2 or not 0 <= prob <= 1:
            raise ValueError(
                'ElasticDeformation: sigma must be at least 0, points at least 2 and prob from 0 to 1, got '
                f'{sigma}, {points} and {prob}'
            )
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'ElasticDeformation: interpolation must be one of {tuple(INTERPOLATIONS)}, got {interpolation!r}'
            )
        self.sigma = sigma
        self.points = points
        self.prob = prob
        self.interpolation = interpolation
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    @cache_randomness
    def _draw(self) -> Optional[np.ndarray]:
        """Displacements (2, points, points) down and to the right, in pixels, or None for no deformation."""
        if np.random.rand() >= self.prob:
            return None
        return np.random.normal(0, self.sigma, (2, self.points, self.points))

    def transform(self, results: dict) -> dict:
        """Deform ``img`` and the maps of ``seg_fields``."""
        vectors = self._draw()
        if vectors is None:
            return results
        image = results['img']
        size = image.shape[:2]
        # Where each pixel comes from, (2, H, W).
        source = np.indices(size) + displacement_field(vectors, size)
        results['img'] = self._move_picture(image, source)
        # Labels by index: OpenCV does not support all integer types, and might round differently for some.
        nearest = np.rint(source).astype(np.int64)
        outside = ((nearest < 0) | (nearest >= np.reshape(size, (2, 1, 1)))).any(0)
        rows, columns = (_mirror(index, count) for index, count in zip(nearest, size))
        for key in results.get('seg_fields', ()):
            if results[key].shape[:2] != size:
                raise ValueError(
                    f'ElasticDeformation: {key} is {results[key].shape[:2]} and the picture {size}; use transforms '
                    "that move all of seg_fields, under default_scope='mmseg'"
                )
            results[key] = results[key][rows, columns]
            if self.seg_pad_val is not None:
                results[key][outside] = self.seg_pad_val
        return results

    def _move_picture(self, image: np.ndarray, source: np.ndarray) -> np.ndarray:
        rows, columns = source.astype(np.float32)
        fill = 0 if self.pad_val is None else self.pad_val
        moved = cv2.remap(
            image,
            columns,
            rows,
            INTERPOLATIONS[self.interpolation],
            borderMode=cv2.BORDER_REFLECT_101 if self.pad_val is None else cv2.BORDER_CONSTANT,
            borderValue=(fill,) * 4 if isinstance(fill, (int, float)) else tuple(fill),
        )
        return moved.reshape(image.shape)  # OpenCV drops a single channel


def displacement_field(vectors: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Interpolate the displacements of a grid at each pixel, by cubic splines.

    Args:
        vectors: (2, P, Q), at grid points spread evenly over the picture, the outer ones on its outer pixels.
        shape: (H, W).

    Returns:
        (2, H, W) float64; equal to ``vectors`` at the grid points.
    """
    # A bicubic spline is separable: the product with a matrix for rows and one for columns takes 1 ms for 512x512
    # pixels, interpolation at each pixel 60.
    down, right = (_spline_matrix(size, count) for size, count in zip(shape, vectors.shape[1:]))
    return down @ vectors @ right.T


def _spline_matrix(size: int, count: int) -> np.ndarray:
    """(size, count): its product with values at ``count`` points is the spline through them at ``size`` pixels."""
    position = np.linspace(0, count - 1, size)
    # With mirroring, the spline of equal values is constant, and its slope at the edges is 0: no overshoot there.
    return np.stack([ndimage.map_coordinates(unit, [position], mode='mirror') for unit in np.eye(count)], axis=1)


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    """Indices 0..size-1 of a row mirrored at its outer pixels, as in OpenCV's BORDER_REFLECT_101."""
    period = max(2 * (size - 1), 1)
    index = index % period
    return np.minimum(index, period - index)
