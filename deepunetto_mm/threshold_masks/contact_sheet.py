"""Many small pictures on one large one, to look over at a glance."""

from typing import Sequence

import cv2
import numpy as np

from deepunetto_mm.visualization.drawing import outline, shorten, tint, title_bar

_TEXT, _GAP = 11, 4
_OBJECT = (0, 255, 255)  # cyan: rare among stains, skin, plants and food


def mask_tile(image: np.ndarray, mask: np.ndarray, caption: str, side: int = 128) -> np.ndarray:
    """A picture, beside it the same with its mask tinted and outlined, and a line of text above.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) integers, above 0 on objects.
        caption: The text; what is too long is cut off.
        side: Of the square into which picture and drawing are fitted, in pixels.

    Returns:
        (h, 2 * ``side``, 3) uint8 RGB, of the same height for every picture.
    """
    scale = side / max(mask.shape)
    size = (max(round(mask.shape[1] * scale), 1), max(round(mask.shape[0] * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    shape = cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    drawn = tint(small, shape, [(0, 0, 0), _OBJECT], 0.35)
    drawn[outline(shape.astype(np.uint16), 1)] = _OBJECT
    pair = np.full((side, 2 * side, 3), 32, np.uint8)
    pair[: size[1], : size[0]], pair[: size[1], side : side + size[0]] = small, drawn
    return np.concatenate([title_bar(shorten(caption, _TEXT, 2 * side - 8), 2 * side, _TEXT), pair])


def contact_sheet(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size in rows, in reading order.

    Args:
        tiles: One or more, each (h, w, 3) uint8.
        columns: Number of tiles in a row.

    Returns:
        (H, W, 3) uint8; places that no tile takes are dark.

    Raises:
        ValueError: If there is no tile, or their sizes differ.
    """
    if len({tile.shape for tile in tiles}) != 1:
        raise ValueError(f'a contact sheet takes tiles of one size, got {sorted({tile.shape for tile in tiles})}')
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 32, np.uint8)
    for index, tile in enumerate(tiles):
        y, x = index // columns * (height + _GAP), index % columns * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet
