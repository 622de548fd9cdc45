"""Strips of a map, for operations that would take several times the memory of the map."""

from typing import Iterator

STRIP_PIXELS = 2**21  # one strip for a picture of 1024 x 2048


def row_strips(height: int, width: int, pixels: int = STRIP_PIXELS) -> Iterator[slice]:
    """Rows of a map, from top to bottom, in strips of at most ``pixels`` pixels, or of one row.

    Index arrays, casts and masks take at least 8 bytes per pixel, which is negligible for a strip.
    """
    step = max(pixels // max(width, 1), 1)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))
