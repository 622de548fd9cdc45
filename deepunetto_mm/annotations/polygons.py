"""Masks of polygons, and polygons of masks."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from pycocotools import mask as coco_mask

_CORNERS = 64  # of a circle


def polygon_mask(parts: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The mask of one object that was drawn as several polygons, by COCO's rule of what is inside; (H, W) bool.

    A polygon that lies inside the others of its object is a hole in it.

    Args:
        parts: Polygons (P, 2) float, x and y in pixels.
        height, width: Size of the picture.
    """
    masks = []
    for part in parts:
        codes = coco_mask.frPyObjects([np.asarray(part, np.float64).ravel().tolist()], height, width)
        masks.append(coco_mask.decode(coco_mask.merge(codes)).astype(bool))
    masks.sort(key=np.count_nonzero, reverse=True)
    mask = np.zeros((height, width), bool)
    for one in masks:
        if one.any() and mask[one].all():
            mask &= ~one
        else:
            mask |= one
    return mask


def draw_parts(
    polygons: Sequence[np.ndarray], bitmaps: Sequence[tuple[np.ndarray, int, int]], height: int, width: int
) -> np.ndarray:
    """The mask of one object that was drawn as polygons and as masks of parts of the picture; (H, W) bool.

    Args:
        polygons: As of :func:`polygon_mask`.
        bitmaps: Masks (h, w) bool, each with its top and left.
        height, width: Size of the picture.
    """
    mask = polygon_mask(polygons, height, width)
    for bitmap, top, left in bitmaps:
        y, x = max(top, 0), max(left, 0)
        inside = bitmap[y - top : max(height - top, 0), x - left : max(width - left, 0)]  # the rest is cut off
        mask[y : y + inside.shape[0], x : x + inside.shape[1]] |= inside
    return mask


def pixel_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask along the edges of its pixels, of parts and of holes: (P, 2) int64 each, x and y.

    Parts are clockwise on the screen, holes the other way round. Pixels that share a corner alone are parts.

    Args:
        mask: (H, W) bool.
    """
    padded = np.pad(mask.astype(bool), 1)
    inner = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # Edges have the object on their right: above, below, on the left and on the right of its pixels.
    for outside, (x1, y1, x2, y2) in (
        (padded[:-2, 1:-1], (0, 0, 1, 0)),
        (padded[2:, 1:-1], (1, 1, 0, 1)),
        (padded[1:-1, :-2], (0, 1, 0, 0)),
        (padded[1:-1, 2:], (1, 0, 1, 1)),
    ):
        for y, x in np.argwhere(inner & ~outside).tolist():
            following.setdefault((x + x1, y + y1), []).append((x + x2, y + y2))
    outlines = []
    while following:
        start = point = next(iter(following))
        corners, step = [], (0, 0)
        while True:
            ends = following[point]
            turned = point[0] - step[1], point[1] + step[0]  # to the right, which stays at the same pixel
            end = turned if turned in ends else ends[0]
            ends.remove(end)
            if not ends:
                del following[point]
            new_step = end[0] - point[0], end[1] - point[1]
            if new_step != step:
                corners.append(point)
            point, step = end, new_step
            if point == start:
                break
        outlines.append(np.array(corners))
    return outlines


def bridged_polygon(mask: np.ndarray) -> np.ndarray:
    """A polygon of a mask with all its parts and holes, joined by the shortest lines, passed there and back; (P, 2).

    It lies a quarter of a pixel inside the outlines. So it gives the same mask by the centres of the pixels, as COCO
    does, and by OpenCV's ``fillPoly`` of whole coordinates, which also fills the pixels of the polygon's own lines, and
    with them the bridges.

    Args:
        mask: (H, W) bool, not empty.
    """
    first, *others = [_inset(corners) for corners in pixel_outlines(mask)]
    polygon = np.concatenate([first, first[:1]])
    while others:
        # The nearest corners of what is joined and what is not.
        pairs = [np.abs(polygon[:, None] - other).sum(-1) for other in others]
        nearest = min(range(len(others)), key=lambda index: pairs[index].min())
        here, there = np.unravel_index(pairs[nearest].argmin(), pairs[nearest].shape)
        other = np.roll(others.pop(nearest), -there, axis=0)
        polygon = np.concatenate([polygon[: here + 1], other, other[:1], polygon[here:]])
    return polygon


def _inset(corners: np.ndarray) -> np.ndarray:
    """Corners of an outline with the object on the right of its edges, moved a quarter of a pixel into the object."""
    ahead = np.sign(np.roll(corners, -1, axis=0) - corners)
    inside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    return corners + (inside + np.roll(inside, 1, axis=0)) / 4


def circle(centre: Sequence[float], edge: Sequence[float]) -> np.ndarray:
    """A circle as a polygon (64, 2), from its centre and a point on it."""
    radius = float(np.hypot(edge[0] - centre[0], edge[1] - centre[1]))
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)


def rectangle(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    """A rectangle as a polygon (4, 2), from two opposite corners."""
    return np.array([one, (other[0], one[1]), other, (one[0], other[1])], np.float64)
