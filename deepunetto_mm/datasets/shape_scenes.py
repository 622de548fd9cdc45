"""Procedural scenes: shapes that luminance shows, in hues that it does not."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np

SHAPES = ('disk', 'square', 'triangle')
HUES = ('red', 'yellow', 'cyan', 'blue')
#: Weights of R, G, B in the luma of BT.709, of gamma-encoded values.
LUMA = np.array([0.2126, 0.7152, 0.0722])

# An orthonormal basis of the colour differences that leave the luma as it is: towards red, and towards blue.
_TO_RED = np.array([1, -LUMA[0] / LUMA[1], 0])
_TO_RED /= np.linalg.norm(_TO_RED)
_TO_BLUE = np.cross(LUMA / np.linalg.norm(LUMA), _TO_RED)
_TO_BLUE *= np.sign(_TO_BLUE[2])
_CHROMA_BASIS = np.stack([_TO_RED, _TO_BLUE]).astype(np.float32)
_HUE_ANGLES = np.radians([0., 270., 180., 90.])

_EMPTY_SHARE = 0.06
_CHROMA, _CHROMA_NOISE, _CHROMA_NOISE_LIMIT = 46., 4., 12.
# No channel can clip: the luma keeps as far from 0 and 255 as any chroma reaches. Clipping would tell the hue.
_LUMA_RANGE = (64., 191.)
_LUMA_NOISE = 4.
_CONTRAST = 26.
_MIN_SIZE = 64
_MIN_VISIBLE, _MIN_VISIBLE_SHARE = 30, 0.55


@dataclass
class Scene:
    """One picture with its annotation; S shapes.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        luma: (H, W) float32, the luma before the picture was rounded to whole numbers.
        class_map: (H, W) uint8, 0 for clutter, 1 + index into :data:`SHAPES`.
        region_map: (H, W) int32, 0 for clutter, else 1..S; every shape is visible.
        shapes: (S,) int64, index into :data:`SHAPES`.
        hues: (S,) int64, index into :data:`HUES`.
    """

    image: np.ndarray
    luma: np.ndarray
    class_map: np.ndarray
    region_map: np.ndarray
    shapes: np.ndarray
    hues: np.ndarray


def draw_scene(rng: np.random.Generator, size: tuple[int, int] = (128, 128), max_shapes: int = 6) -> Scene:
    """Draw a scene of disks, squares and triangles that may touch and occlude each other, on clutter.

    The luma is drawn first: texture, strokes, shapes brighter or darker than what is around them, noise of 4 grey
    levels. Then chroma of zero luma and constant amplitude is added, to the clutter as well: a shape has the hue of its
    fine class, the clutter all hues. So the luma says nothing of the hue, and rounding changes it by half a grey level
    at most.

    Args:
        rng: Source of all randomness.
        size: Height and width in pixels, 64 or more; shapes grow with the shorter one.
        max_shapes: At most so many shapes.

    Raises:
        ValueError: If the size is too small, or ``max_shapes`` less than 1.
    """
    if min(size) < _MIN_SIZE or max_shapes < 1:
        raise ValueError(f'scenes are at least {_MIN_SIZE} pixels high and wide, with max_shapes 1 or more; got {size} '
                         f'and {max_shapes}')
    luma, chroma = _clutter_luma(rng, size), _clutter_chroma(rng, size)
    region_map = np.zeros(size, np.int32)
    shapes: list[int] = []
    count = 0 if rng.random() < _EMPTY_SHARE else int(rng.integers(1, max_shapes + 1))
    placed: list[_Placed] = []
    for _ in range(count):
        shape = _place(rng, luma, region_map, shapes, placed)
        if shape is not None:
            shapes.append(shape)
    # Every hue comes as often as any other, as far as numbers allow: a guess earns 1/4 even on few scenes.
    hues = np.resize(rng.permutation(len(HUES)), len(shapes)).astype(np.int64)
    for index, hue in enumerate(hues.tolist(), start=1):
        chroma[region_map == index] = _chroma_of(rng, hue)

    luma += _LUMA_NOISE * rng.standard_normal(size, np.float32)
    np.clip(luma, *_LUMA_RANGE, out=luma)
    # Noise of the chroma too. With one constant difference R - G in a shape, the fraction that rounding leaves in the
    # luma would be a fingerprint of the hue.
    noise = _CHROMA_NOISE * rng.standard_normal((*size, 2), np.float32)
    chroma += noise.clip(-_CHROMA_NOISE_LIMIT, _CHROMA_NOISE_LIMIT)
    image = np.rint(luma[..., None] + chroma @ _CHROMA_BASIS).astype(np.uint8)
    class_of_region = np.array([0] + [shape + 1 for shape in shapes], np.uint8)
    return Scene(image, luma, class_of_region[region_map], region_map, np.array(shapes, np.int64), hues)


@dataclass
class _Placed:
    """A shape on the canvas: its centre (x, y) and radius in pixels, its mean luma, its area before occlusion."""

    centre: np.ndarray
    radius: float
    luma: float
    area: int


def _clutter_luma(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    luma = np.full(size, rng.uniform(100, 155), np.float32)
    for cell, deviation in ((32, rng.uniform(4, 10)), (8, rng.uniform(2, 5))):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
        luma += deviation * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(5, 16)):
        start = rng.uniform(0, [width, height])
        points = np.rint(start + np.cumsum(rng.normal(0, 14, (3, 2)), axis=0)).astype(np.int32)
        stroke = np.zeros(size, np.uint8)
        cv2.polylines(stroke, [points], False, 1, thickness=int(rng.integers(1, 3)))
        luma[stroke > 0] += rng.choice([-1, 1]) * rng.uniform(10, 30)
    return luma


def _clutter_chroma(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 2): hues that change slowly, and patches of one hue such as a shape has, but which luma does not show."""
    height, width = size
    field = cv2.resize(rng.standard_normal((5, 5, 2), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    field *= _CHROMA / np.maximum(np.linalg.norm(field, axis=2, keepdims=True), 1e-3)
    for hue in range(len(HUES)):
        patch, shape, centre = np.zeros(size, np.uint8), int(rng.integers(len(SHAPES))), rng.uniform(0, [width, height])
        _fill(patch, shape, centre, radius=rng.uniform(8, 20), angle=rng.uniform(0, 2 * np.pi))
        field[patch > 0] = _chroma_of(rng, hue)
    return field


def _chroma_of(rng: np.random.Generator, hue: int) -> np.ndarray:
    angle = _HUE_ANGLES[hue] + np.radians(rng.uniform(-12, 12))
    return np.array([_CHROMA * np.cos(angle), _CHROMA * np.sin(angle)], np.float32)


def _place(rng: np.random.Generator, luma: np.ndarray, region_map: np.ndarray, shapes: list[int],
           placed: list[_Placed]) -> Optional[int]:
    """Put one more shape on the canvas, in place; None if twenty tries found no room. Returns its index into SHAPES."""
    height, width = region_map.shape
    shape = int(rng.integers(len(SHAPES)))
    for _ in range(20):
        radius = max(6., min(height, width) * np.exp(rng.uniform(np.log(0.065), np.log(0.18))))
        low, high = np.full(2, radius * 1.25), np.array([width, height]) - radius * 1.25
        centre = rng.uniform(low, high)
        if placed and rng.random() < 0.3:  # beside another one, so that they touch or overlap
            other = placed[rng.integers(len(placed))]
            angle = rng.uniform(0, 2 * np.pi)
            distance = (radius + other.radius) * rng.uniform(0.75, 1.05)
            centre = other.centre + distance * np.array([np.cos(angle), np.sin(angle)])
            if (centre < low).any() or (centre > high).any():
                continue
        mask = np.zeros(region_map.shape, np.uint8)
        _fill(mask, shape, centre, radius, rng.uniform(0, 2 * np.pi))
        near = np.unique(region_map[cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0])
        neighbours = near[near > 0] - 1
        # Same shapes in touch are one connected component, which no proposer by components can part: let them be rare.
        if any(shapes[n] == shape for n in neighbours) and rng.random() < 0.9:
            continue
        inside = mask > 0
        if any(_visible(region_map == n + 1, inside) < max(_MIN_VISIBLE, _MIN_VISIBLE_SHARE * placed[n].area)
               for n in neighbours):
            continue
        value = rng.uniform(_LUMA_RANGE[0] + 14, _LUMA_RANGE[1] - 14)
        around = [luma[cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0].mean()] + [placed[n].luma for n in neighbours]
        if min(abs(value - a) for a in around) < _CONTRAST:
            continue
        rows, columns = np.nonzero(inside)
        slope = rng.uniform(-8, 8, 2) / radius
        luma[inside] = value + slope[0] * (columns - centre[0]) + slope[1] * (rows - centre[1])
        region_map[inside] = len(placed) + 1
        placed.append(_Placed(centre, radius, value, int(inside.sum())))
        return shape
    return None


def _visible(region: np.ndarray, hidden: np.ndarray) -> int:
    return int((region & ~hidden).sum())


def _fill(canvas: np.ndarray, shape: int, centre: np.ndarray, radius: float, angle: float) -> None:
    """Fill a disk, square or triangle with ones; corners lie beyond the radius, so that areas are alike."""
    fraction = 4  # bits after the point, in OpenCV's fixed-point coordinates
    if SHAPES[shape] == 'disk':
        corner = np.rint(centre * 2**fraction).astype(int)
        cv2.circle(canvas, (int(corner[0]), int(corner[1])), round(radius * 2**fraction), 1, cv2.FILLED, shift=fraction)
        return
    corners, stretch = (4, 1.2) if SHAPES[shape] == 'square' else (3, 1.25)
    angles = angle + 2 * np.pi * np.arange(corners) / corners
    points = centre + radius * stretch * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(canvas, [np.rint(points * 2**fraction).astype(np.int32)], 1, shift=fraction)
