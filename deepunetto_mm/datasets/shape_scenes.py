"""Generated scenes: shapes that are visible in luminance, in hues that are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np

SHAPES = ('disk', 'ring', 'cross')
HUES = ('red', 'green', 'cyan', 'violet')
#: Weights of R, G, B in the luma of BT.709, of gamma-encoded values.
LUMA = np.array([0.2126, 0.7152, 0.0722])
#: The change of R, G, B for each hue. With integers the luma stays *exactly* the same (1063 * 65 = 3576 * 17 + 361 *
#: 23): these are the two shortest such steps and their opposites. Rounded real-valued steps would reveal the hue: the
#: luma of integer R, G, B lies on a fine grid whose offset depends on the differences between the channels. A linear
#: classifier of the luma's fractions named 71 % of such hues correctly.
HUE_STEPS = np.array([[65, -17, -23], [-17, 10, -49], [-65, 17, 23], [17, -10, 49]])

# An orthonormal basis of the real-valued colour changes that keep the luma: towards red, and towards blue.
_TO_RED = np.array([1, -LUMA[0] / LUMA[1], 0])
_TO_RED /= np.linalg.norm(_TO_RED)
_TO_BLUE = np.cross(_TO_RED, LUMA / np.linalg.norm(LUMA))
_TO_BLUE *= np.sign(_TO_BLUE[2])
_CHROMA_BASIS = np.stack([_TO_RED, _TO_BLUE]).astype(np.float32)

_EMPTY_SHARE = 0.06
_CLUTTER_CHROMA, _CHROMA_JITTER = 55.0, 4.0
_CHROMA_NOISE, _CHROMA_NOISE_LIMIT = 3.0, 6.0
# No channel can clip, because the luma is far enough from 0 and 255: clipping would reveal the hue.
_LUMA_RANGE = (76.0, 179.0)
_LUMA_NOISE = 4.0
_CONTRAST = 32.0
_MIN_SIZE = 64
_MIN_VISIBLE, _MIN_VISIBLE_SHARE = 30, 0.55
# How often a shape is placed beside another one, and removed if it touches one of its group.
_BESIDE, _APART = 0.3, 0.9
_BESIDE_IN_A_CROWD, _APART_IN_A_CROWD = 0.8, 0.0


@dataclass
class Scene:
    """One picture with its annotation; S shapes.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        luma: (H, W) float32, the luma before the picture was rounded to integers.
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


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int] = (128, 128), max_shapes: int = 6, crowded: bool = False
) -> Scene:
    """Generate a scene of disks, rings and crosses that may touch and occlude each other, on clutter.

    The luma is drawn first: texture, strokes, shapes brighter or darker than their surroundings, noise of 4 grey
    levels. Then the colours are added, also to the clutter: a shape has the hue of its fine class, the clutter all
    hues, some of it in patches that look like shapes. Rounding changes the luma by at most half a grey level, and the
    luma does not depend on the hue at all.

    Args:
        rng: Source of all randomness.
        size: Height and width in pixels, at least 64; shapes grow with the shorter one.
        max_shapes: Maximum number of shapes.
        crowded: Most shapes are placed beside another one, also of the same group: many are one connected component
            with others, which is rare otherwise.

    Raises:
        ValueError: If the size is too small, or ``max_shapes`` less than 1.
    """
    if min(size) < _MIN_SIZE or max_shapes < 1:
        raise ValueError(
            f'scenes must be at least {_MIN_SIZE} pixels high and wide, with max_shapes at least 1; got {size} '
            f'and {max_shapes}'
        )
    luma, chroma, steps = _clutter_luma(rng, size), *_clutter_chroma(rng, size)
    region_map = np.zeros(size, np.int32)
    shapes: list[int] = []
    placed: list[_Placed] = []
    count = 0 if rng.random() < _EMPTY_SHARE else int(rng.integers(1, max_shapes + 1))
    for _ in range(count):
        shape = _place(rng, luma, region_map, shapes, placed, crowded)
        if shape is not None:
            shapes.append(shape)
    # All hues are equally frequent as far as possible: a guess scores 1/4 even on few scenes.
    hues = np.resize(rng.permutation(len(HUES)), len(shapes)).astype(np.int64)
    for index, hue in enumerate(hues.tolist(), start=1):
        inside = region_map == index
        chroma[inside] = rng.uniform(-_CHROMA_JITTER, _CHROMA_JITTER, 2)
        steps[inside] = HUE_STEPS[hue]

    luma += _LUMA_NOISE * rng.standard_normal(size, np.float32)
    np.clip(luma, *_LUMA_RANGE, out=luma)
    noise = _CHROMA_NOISE * rng.standard_normal((*size, 2), np.float32)
    chroma += noise.clip(-_CHROMA_NOISE_LIMIT, _CHROMA_NOISE_LIMIT)
    image = (np.rint(luma[..., None] + chroma @ _CHROMA_BASIS) + steps).astype(np.uint8)
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
    luma = np.full(size, rng.uniform(108, 147), np.float32)
    for cell, deviation in ((32, rng.uniform(4, 10)), (8, rng.uniform(2, 5))):
        coarse = rng.standard_normal((height // cell + 2, width // cell + 2), np.float32)
        luma += deviation * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(4, 13)):
        start = rng.uniform(0, [width, height])
        points = np.rint(start + np.cumsum(rng.normal(0, 14, (3, 2)), axis=0)).astype(np.int32)
        stroke = np.zeros(size, np.uint8)
        cv2.polylines(stroke, [points], False, 1, thickness=int(rng.integers(1, 3)))
        luma[stroke > 0] += rng.choice([-1, 1]) * rng.uniform(10, 30)
    return luma


def _clutter_chroma(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Chroma (H, W, 2) float32 of slowly changing hue, and hue steps (H, W, 3): patches invisible in the luma."""
    height, width = size
    chroma = cv2.resize(rng.standard_normal((5, 5, 2), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    chroma *= _CLUTTER_CHROMA / np.maximum(np.linalg.norm(chroma, axis=2, keepdims=True), 1e-3)
    steps = np.zeros((*size, 3), np.int16)
    for hue in rng.permutation(len(HUES)).tolist():
        patch, shape, centre = np.zeros(size, np.uint8), int(rng.integers(len(SHAPES))), rng.uniform(0, [width, height])
        _fill(patch, shape, centre, radius=rng.uniform(8, 20), angle=rng.uniform(0, 2 * np.pi))
        chroma[patch > 0] = rng.uniform(-_CHROMA_JITTER, _CHROMA_JITTER, 2)
        steps[patch > 0] = HUE_STEPS[hue]
    return chroma, steps


def _place(
    rng: np.random.Generator,
    luma: np.ndarray,
    region_map: np.ndarray,
    shapes: list[int],
    placed: list[_Placed],
    crowded: bool,
) -> Optional[int]:
    """Place one more shape, in place; returns its index into SHAPES, or None if twenty tries found no room."""
    height, width = region_map.shape
    beside, apart = (_BESIDE_IN_A_CROWD, _APART_IN_A_CROWD) if crowded else (_BESIDE, _APART)
    shape = int(rng.integers(len(SHAPES)))
    for _ in range(20):
        radius = max(6.0, min(height, width) * np.exp(rng.uniform(np.log(0.072), np.log(0.18))))
        low, high = np.full(2, radius * 1.25), np.array([width, height]) - radius * 1.25
        centre = rng.uniform(low, high)
        if placed and rng.random() < beside:  # beside another one, so that they touch or overlap
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
        # Touching shapes of one group are one component, which the proposer cannot separate: keep them rare.
        if any(shapes[n] == shape for n in neighbours) and rng.random() < apart:
            continue
        inside = mask > 0
        if any(_hidden_too_far((region_map == n + 1) & ~inside, placed[n].area) for n in neighbours):
            continue
        value = rng.uniform(_LUMA_RANGE[0] + 6, _LUMA_RANGE[1] - 6)
        clutter = luma[(cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0) & (region_map == 0)]
        around = [placed[n].luma for n in neighbours] + ([clutter.mean()] if clutter.size else [])
        if min(abs(value - other) for other in around) < _CONTRAST:
            continue
        rows, columns = np.nonzero(inside)
        slope = rng.uniform(-6, 6, 2) / radius
        luma[inside] = value + slope[0] * (columns - centre[0]) + slope[1] * (rows - centre[1])
        region_map[inside] = len(placed) + 1
        placed.append(_Placed(centre, radius, value, int(inside.sum())))
        return shape
    return None


def _hidden_too_far(visible: np.ndarray, area: int) -> bool:
    """Whether too little of a shape is visible, or it is cut in two, as a cross without its middle."""
    if visible.sum() < max(_MIN_VISIBLE, _MIN_VISIBLE_SHARE * area):
        return True
    return cv2.connectedComponents(visible.astype(np.uint8), connectivity=4)[0] > 2


def _fill(canvas: np.ndarray, shape: int, centre: np.ndarray, radius: float, angle: float) -> None:
    """Fill a disk, ring or cross with ones; rings and crosses exceed the radius, so that areas are similar."""
    fraction = 4  # bits after the point, in OpenCV's fixed-point coordinates
    if SHAPES[shape] == 'cross':
        arm = 1.2 * radius * np.array([[1, -0.4], [1, 0.4], [0.4, 0.4]])
        angles = angle + np.pi / 2 * np.arange(4)
        points = centre + np.concatenate([arm @ [[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]] for a in angles])
        cv2.fillPoly(canvas, [np.rint(points * 2**fraction).astype(np.int32)], 1, shift=fraction)
        return
    x, y = np.rint(centre * 2**fraction).astype(int).tolist()
    if SHAPES[shape] == 'disk':
        cv2.circle(canvas, (x, y), round(radius * 2**fraction), 1, cv2.FILLED, shift=fraction)
        return
    ring = np.zeros_like(canvas)
    cv2.circle(ring, (x, y), round(1.15 * radius * 2**fraction), 1, cv2.FILLED, shift=fraction)
    cv2.circle(ring, (x, y), round(0.6 * radius * 2**fraction), 0, cv2.FILLED, shift=fraction)
    canvas[ring > 0] = 1
