"""The centre of a map."""

from typing import Sequence

from torch import Tensor


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
