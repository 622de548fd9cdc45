"""Bend a picture and all that lies on it."""

from __future__ import annotations

from typing import Optional, Sequence, Union

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from scipy import ndimage

from deepunetto_mm.registry import TRANSFORMS

INTERPOLATIONS = dict(nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC)


@TRANSFORMS.register_module()
class ElasticDeformation(BaseTransform):
    """Deform smoothly and at random, as Ronneberger, Fischer and Brox do in *U-Net* (MICCAI 2015).

    A displacement is drawn from a Gaussian for each point of a coarse grid, 3x3 in the paper, whose outer points lie on
    the centres of the picture's outer pixels. Bicubic interpolation, which meets the drawn displacements, gives those
    of the pixels. A pixel x of the new picture is what the old one has at x + displacement.

    The maps of ``seg_fields`` move by the same displacements, and take the nearest pixel's label. Numbers come from
    numpy's global generator, as for mmcv's and mmseg's transforms.

    Required keys: ``img`` (H, W, C) or (H, W), and the maps (H, W) listed in ``seg_fields``, if there are any. Modified
    keys: the same, of unchanged shapes and types.

    Args:
        sigma: Standard deviation of the displacements along each axis, in pixels.
        points: Points of the grid along each axis, 2 or more.
        prob: Probability that a picture is deformed.
        interpolation: Of the picture: ``'bilinear'``, ``'bicubic'`` or ``'nearest'``.
        pad_val: What the picture shows beyond its old edge: None mirrors it, as in the paper; or a number, or one for
            each channel.
        seg_pad_val: Label of the pixels from beyond the old edge. A region map takes 255 or 0, no region. None mirrors
            the labels as well: then no pixel is lost to training, but an object near the edge may appear twice, as two
            parts of one region.

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
                'ElasticDeformation: sigma must be at least 0, points 2 or more and prob from 0 to 1, got '
                f'{sigma}, {points} and {prob}'
            )
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'ElasticDeformation: interpolation is one of {tuple(INTERPOLATIONS)}, got {interpolation!r}'
            )
        self.sigma = sigma
        self.points = points
        self.prob = prob
        self.interpolation = interpolation
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    @cache_randomness
    def _draw(self) -> Optional[np.ndarray]:
        """Displacements (2, points, points) down and to the right, in pixels, or None to leave the picture alone."""
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
        # Labels by index: OpenCV takes not all types of integers, and might round differently for different ones.
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
        return moved.reshape(image.shape)  # OpenCV drops an only channel

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(sigma={self.sigma}, points={self.points}, prob={self.prob}, '
            f'interpolation={self.interpolation!r}, pad_val={self.pad_val}, seg_pad_val={self.seg_pad_val})'
        )


def displacement_field(vectors: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Interpolate the displacements of a grid at each pixel, by cubic splines.

    Args:
        vectors: (2, P, Q), of grid points spread evenly over the picture, the outer ones on its outer pixels.
        shape: (H, W).

    Returns:
        (2, H, W) float64; equal to ``vectors`` at the grid points.
    """
    # A bicubic spline is a product: a matrix for the rows and one for the columns do in 1 ms for 512x512 pixels what an
    # interpolation at each pixel does in 60.
    down, right = (_spline_matrix(size, count) for size, count in zip(shape, vectors.shape[1:]))
    return down @ vectors @ right.T


def _spline_matrix(size: int, count: int) -> np.ndarray:
    """(size, count), whose product with values at ``count`` points is the spline through them at ``size`` pixels."""
    position = np.linspace(0, count - 1, size)
    # Mirrored, the spline of equal values is constant, and it is level at the edges: it does not overshoot there.
    return np.stack([ndimage.map_coordinates(unit, [position], mode='mirror') for unit in np.eye(count)], axis=1)


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    """Indices 0..size-1 of a row that goes on mirrored at its outer pixels, as OpenCV's BORDER_REFLECT_101."""
    period = max(2 * (size - 1), 1)
    index = index % period
    return np.minimum(index, period - index)
