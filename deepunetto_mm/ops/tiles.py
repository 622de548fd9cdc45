"""Tiles of a picture: their positions, the pixels that each of them predicts, and the mirrored picture.

The overlap-tile strategy of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation" (MICCAI 2015, figure 2): a tile is predicted from a larger window, so that the network sees the context of
each of its pixels. Beyond the border of the picture, the context is its mirror image.
"""

import itertools
from typing import NamedTuple, Optional, Sequence

import torch
from torch import Tensor

BLENDINGS = (None, 'gaussian')


class TileSpan(NamedTuple):
    """A tile along one axis, in pixels of the picture.

    Attributes:
        start: Where the tile begins.
        low, high: The pixels that the tile predicts, half open; they lie in the tile and in the picture.
        shares: (high - low,) float64, the weight of the tile at each of them; at each pixel of the picture the shares
            of all tiles sum to 1.
    """

    start: int
    low: int
    high: int
    shares: Tensor


def tile_spans(size: int, tile: int, divisor: int = 1, blending: Optional[str] = None) -> list[TileSpan]:
    """Place tiles along one axis of a picture.

    They begin at multiples of the divisor, because a network that pools is equivariant only to such shifts. The last
    one is moved back until it just covers the end, which increases the overlap and not the padding; fewer than
    ``divisor`` of its pixels lie outside, unless the picture is smaller than a tile.

    The two axes are independent. A tile is a pair of spans, and the products of their shares also sum to 1.

    Args:
        size: Pixels of the picture, at least 1.
        tile: Pixels of a tile; all have the same size.
        divisor: The total stride of the network.
        blending: None: tiles overlap as little as the divisor allows, and in the middle of an overlap the next one
            takes over. ``'gaussian'``: neighbours overlap by at least half, and the shares at a pixel are Gaussians
            about the middle of each tile, with a standard deviation of an eighth of the tile, as in nnU-Net
            (Isensee et al., Nature Methods 2021).

    Raises:
        ValueError: If the blending is unknown, or a tile is too small for steps of the divisor.
    """
    if blending not in BLENDINGS:
        raise ValueError(f'blending must be one of {BLENDINGS}, got {blending!r}')
    step = (tile if blending is None else tile // 2) // divisor * divisor
    if step < 1:
        least = divisor if blending is None else 2 * divisor
        raise ValueError(f'tiles of {tile} pixels are too small: they need at least {least} to begin {divisor} apart')
    last = -(-max(size - tile, 0) // divisor) * divisor
    starts = [*range(0, last, step), last]
    if blending is None:
        seams = [(before + tile + start) // 2 for before, start in itertools.pairwise(starts)]
        bounds = itertools.pairwise([0, *seams, size])
        return [
            TileSpan(start, low, high, torch.ones(high - low, dtype=torch.float64))
            for start, (low, high) in zip(starts, bounds)
        ]
    # Shares are computed for each axis separately: the sum of products is the product of sums, so no map is needed.
    bell = torch.exp(-0.5 * ((torch.arange(tile, dtype=torch.float64) - (tile - 1) / 2) / (tile / 8)) ** 2)
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += bell[: size - start]
    ends = [min(start + tile, size) for start in starts]
    return [TileSpan(start, start, end, bell[: end - start] / total[start:end]) for start, end in zip(starts, ends)]


def mirrored_indices(start: int, stop: int, size: int) -> Tensor:
    """Indices from ``start`` to ``stop - 1`` of an axis that is mirrored at both ends, as often as needed.

    The pixel at an end is not repeated, as in ``F.pad(mode='reflect')``, but the picture may be of any size: for 3
    pixels, -4 to 6 are ``0 1 2 1 0 1 2 1 0 1 2``. The mirror image of a single pixel is constant.

    Returns:
        (stop - start,) int64, each from 0 to ``size - 1``.
    """
    period = max(2 * (size - 1), 1)
    indices = torch.arange(start, stop) % period
    return torch.minimum(indices, period - indices) if size > 1 else indices


def mirrored_window(picture: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Copy a window that may lie anywhere, inside or outside of the picture.

    Args:
        picture: (C, H, W) of any type.
        top, left: Where the window begins in the picture; may be negative.
        height, width: Size of the window.

    Returns:
        (C, height, width), a copy; no larger array is created.
    """
    rows = mirrored_indices(top, top + height, picture.shape[1]).to(picture.device)
    columns = mirrored_indices(left, left + width, picture.shape[2]).to(picture.device)
    return picture[:, rows[:, None], columns]


def centre_crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Crop equally from left and right, and from top and bottom.

    Args:
        x: (..., H, W) of any type.
        size: Height and width of the result.

    Returns:
        (..., height, width), a view.

    Raises:
        ValueError: If the map is smaller than the size, or larger by an odd number of pixels.
    """
    excess = [have - want for have, want in zip(x.shape[-2:], size)]
    if any(pixels < 0 or pixels % 2 for pixels in excess):
        have, want = ('x'.join(str(n) for n in shape) for shape in (x.shape[-2:], size))
        raise ValueError(f'a map of {have} has no centre of {want}: it must be larger by an even number of pixels')
    top, left = (pixels // 2 for pixels in excess)
    return x[..., top : top + size[0], left : left + size[1]]
