"""Strips of a map, for what would take several times the memory of the map if it were done at once."""

from typing import Iterator

STRIP_PIXELS = 2**21  # one strip for a picture of 1024 x 2048


def row_strips(height: int, width: int, pixels: int = STRIP_PIXELS) -> Iterator[slice]:
    """Rows of a map, from top to bottom, in strips of at most ``pixels`` pixels, or of one row.

    Index arrays, casts and masks of a map take 8 bytes a pixel and more: of a strip they do not matter.
    """
    step = max(pixels // max(width, 1), 1)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))
