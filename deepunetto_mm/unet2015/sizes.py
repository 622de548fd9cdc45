"""Sizes in the unpadded U-Net of Ronneberger, Fischer and Brox (MICCAI 2015).

On every level, down and up, two unpadded 3x3 convolutions remove 4 pixels; pooling halves, the up-convolution doubles.
Along one axis, for a network of ``depth`` levels whose coarsest map ends with b pixels (572 -> 28 -> 388)::

    input  = 2**(depth - 1) * (b + 8) - 4
    output = 2**(depth - 1) * (b - 4) + 4

A size is valid if every map that is pooled is even, so that no pixel is lost, and the output has at least one pixel.
"""

from typing import Optional, Sequence


def unet2015_margin(depth: int = 5) -> int:
    """Difference of input and output size along each axis, in pixels; half of it is on each side.

    Args:
        depth: Levels of the network, at least 1.
    """
    return 12 * _stride(depth) - 8


def unet2015_input_size(wanted: int, depth: int = 5) -> int:
    """The smallest valid input size whose output has at least the wanted size.

    Args:
        wanted: Pixels of the output along an axis, at least 1.
        depth: Levels of the network.
    """
    if wanted < 1:
        raise ValueError(f'an output must have at least 1 pixel, got {wanted}')
    return wanted + (4 - wanted) % _stride(depth) + unet2015_margin(depth)


def unet2015_nearest_sizes(size: int, depth: int = 5) -> tuple[Optional[int], int]:
    """The greatest valid input size up to ``size``, None if there is none, and the smallest valid one from ``size``.

    Both equal ``size`` if it is valid.
    """
    above = unet2015_input_size(max(1, size - unet2015_margin(depth)), depth)
    below = above if above == size else above - _stride(depth)
    return (below if below >= unet2015_input_size(1, depth) else None), above


def unet2015_is_valid_size(size: int, depth: int = 5) -> bool:
    """Whether an input of ``size`` pixels along an axis is valid."""
    return unet2015_nearest_sizes(size, depth)[1] == size


def unet2015_output_shape(shape: Sequence[int], depth: int = 5) -> tuple[int, int]:
    """Height and width of the output.

    Args:
        shape: Height and width of the input.
        depth: Levels of the network.

    Raises:
        ValueError: If one is not valid; the message has the nearest valid sizes.
    """
    faults = []
    for name, size in zip(('height', 'width'), shape):
        below, above = unet2015_nearest_sizes(size, depth)
        if size != above:
            valid = f'smallest valid: {above}' if below is None else f'nearest valid: {below} and {above}'
            faults.append(f'no {name} of {size} ({valid})')
    if faults:
        raise ValueError(f'an unpadded U-Net of depth {depth} takes {" and ".join(faults)}')
    height, width = shape
    return height - unet2015_margin(depth), width - unet2015_margin(depth)


def _stride(depth: int) -> int:
    """Input pixels per pixel of the coarsest map; also the difference of successive valid sizes."""
    if depth < 1:
        raise ValueError(f'a U-Net must have at least 1 level, got a depth of {depth}')
    return 1 << (depth - 1)
