"""Sizes of pictures and crops, from the numbers of data and machine."""

from __future__ import annotations

import math
from typing import Optional

from .fingerprint import Fingerprint, Machine

# Pixels that the network sees of a picture at a time. On a CPU a step of eight such crops takes one to three seconds.
_PIXELS = dict(cpu=320 * 320, gpu=768 * 768)
_SMALL_PICTURE, _ENLARGED = 160, 192  # longer sides
_THIN = 8  # pixels that the side of a small object needs
# Pixels that the side of an object needs, if its centre is to be distinguished from that of its neighbour.
_SEPARATE = 32
_GROWN = 16e6  # pixels of an enlarged picture, at most


def size_of_whole_pictures(data: Fingerprint, why: dict[str, str]) -> tuple[float, tuple[int, int]]:
    """Factor of the sides that a classifier tests on, and height and width that it trains on."""
    short = min(data.size)
    side = min(224, max(96, 32 * round(1.5 * short / 32)))
    small = 32 * round(side / math.sqrt(2) / 32)
    why['scale'] = f'the shorter side, {short} pixels (median), becomes {side}'
    why['crop'] = f'a square of 43 to 100 % of the area becomes {small}x{small} pixels: half of the time'
    return side / short, (small, small)


def scale_of(data: Fingerprint, machine: Machine, encoder: str, centres: bool, why: dict[str, str]) -> float:
    """Factor of the pictures' sides."""
    longest, pixels = max(data.size), data.size[0] * data.size[1]
    budget = _PIXELS['gpu' if machine.gpu else 'cpu']
    if longest < _SMALL_PICTURE and encoder == 'efficientnet-lite0':
        scale = _ENLARGED / longest
        why['scale'] = f'{data.size[0]}x{data.size[1]} pixels are few for a network whose logits have half the size'
        return round(scale, 2)
    largest = data.sizes[-1][0] * data.sizes[-1][1]
    if centres and (grown := min(2.0, _SEPARATE / math.sqrt(data.area[2]), math.sqrt(_GROWN / largest))) > 1.2:
        why['scale'] = f'enlarged, so that objects that touch have {_SEPARATE} pixels across or twice their own'
        return round(grown, 1)
    # The smallest objects but for a few.
    thin = _THIN / math.sqrt(data.area[1]) if data.area else 0.0
    fitting = math.sqrt(budget / pixels)
    scale = min(1.0, max(fitting, thin))
    if scale > 0.7:
        why['scale'] = f'pictures of {data.size[0]}x{data.size[1]} pixels are used as they are'
        return 1.0
    scale = math.ceil(scale * 20) / 20
    reason = 'this machine trains on' if fitting >= thin else f'needed, so that small objects have {_THIN} pixels'
    why['scale'] = f'{data.size[0]}x{data.size[1]} pixels become what {reason}'
    return scale


def crop_of(data: Fingerprint, machine: Machine, scale: float, why: dict[str, str]) -> tuple[tuple[int, int], bool]:
    """Height and width of what is trained on, multiples of 32; and whether that is a part of a picture."""
    width, height = (max(32, round(side * scale)) for side in (data.size if data.one_size else data.sizes[-1]))
    budget = _PIXELS['gpu' if machine.gpu else 'cpu']
    shrink = min(1.0, math.sqrt(budget * 1.25 / (width * height)))
    side = math.sqrt(budget)

    def fit(length: int) -> int:
        wanted = length if shrink == 1 else min(length, side)
        return max(32, 32 * round(wanted / 32 + 0.2))

    crop = fit(height), fit(width)
    why['crop'] = (
        'whole pictures; smaller ones are padded' if shrink == 1 else 'parts of pictures, by the pixels of a step'
    )
    return crop, shrink < 1


def window_of(data: Fingerprint, scale: float, by_size: bool, why: dict[str, str]) -> tuple[Optional[int], int]:
    """Width of a box for all objects in pixels of the input, or None for fitted boxes; and the side of the crops."""
    large = data.side[3] * scale
    if by_size and data.side[3] < 4 * max(1.0, data.side[1]):
        window = int(16 * math.ceil(large * 1.15 / 16))
        why['window'] = (
            f'one window for all objects, since their size differs by fine class ({100 * data.size_share:.0f} % of '
            'the variance of log area lies between fine classes)'
        )
        return window, int(min(112, max(48, 16 * round(window / 16))))
    why['window'] = 'boxes fitted to the objects: their size says little about the fine class'
    if by_size:
        why['window'] = 'boxes fitted to the objects, whose sizes are too different for one window'
    return None, int(min(112, max(48, 16 * round(data.side[2] * scale * 1.4 / 16))))
