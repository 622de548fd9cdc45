"""Functions on RGB arrays: tints, outlines, and text that stays inside the picture.

Functions with text take the file of a font; other fonts are used for letters that it does not have.
"""

import colorsys
from functools import lru_cache
from typing import Optional, Sequence

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw, ImageFont

from deepunetto_mm.utils.fonts import USUAL, font_runs

Colour = tuple[int, int, int]
_TEXT_MARGIN = 2


def distinct_colours(count: int) -> list[Colour]:
    """Bright RGB colours; the colour at a position does not depend on ``count``.

    Hues advance by the golden ratio, so the first few are always well separated.
    """
    colours = []
    for index in range(count):
        hue, shade = (index * 0.618034) % 1.0, (index // 8) % 3
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.9, 0.55, 0.9)[shade], (1.0, 1.0, 0.7)[shade])
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


def rgb_from_inputs(inputs: torch.Tensor, shape: Sequence[int]) -> np.ndarray:
    """Convert the packed inputs of a pipeline to a picture to draw on.

    Args:
        inputs: (3, H, W) uint8 BGR.
        shape: Height and width of the result.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        ValueError: If the inputs are something else, for example normalised.
    """
    if inputs.dtype != torch.uint8 or inputs.ndim != 3 or inputs.shape[0] != 3:
        raise ValueError(
            f'the pipeline packed {tuple(inputs.shape)} {inputs.dtype}; a picture can be drawn from '
            '(3, H, W) uint8 BGR: leave normalising to the data_preprocessor'
        )
    image = np.ascontiguousarray(inputs.cpu().numpy()[::-1].transpose(1, 2, 0))
    if image.shape[:2] != tuple(shape):
        image = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return image


def magnify(array: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel of an (H, W) or (H, W, 3) array ``factor`` times in both directions."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def tint(image: np.ndarray, label_map: np.ndarray, palette: Sequence[Colour], alpha: float) -> np.ndarray:
    """Blend the classes' colours into a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        label_map: (H, W) integers. Labels outside the palette, such as 255, and classes whose colour is black, usually
            the background, leave the picture unchanged.
        palette: RGB colour of each label.
        alpha: 0 leaves the picture unchanged, 1 covers it.

    Returns:
        A new (H, W, 3) uint8 RGB array.
    """
    colours = np.asarray([*palette, (0, 0, 0)], np.float32).reshape(-1, 3)
    known = (label_map >= 0) & (label_map < len(palette))
    colour_map = colours[np.where(known, label_map, len(palette))]
    coloured = colour_map.any(axis=-1)
    drawn = image.copy()
    drawn[coloured] = np.rint(image[coloured] * (1 - alpha) + colour_map[coloured] * alpha).astype(np.uint8)
    return drawn


def heat_map(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Colour numbers by matplotlib's viridis, from dark blue at ``low`` to yellow at ``high``.

    Args:
        values: Of any shape.
        low, high: Values below or above are clipped. If they are equal, all is dark blue.

    Returns:
        An array with one more axis, uint8 RGB.
    """
    return colormaps['viridis']((values - low) / ((high - low) or 1), bytes=True)[..., :3]


def centre_map(values: np.ndarray) -> np.ndarray:
    """Colour centres and the vectors to them: hue is direction, brightness length, and centres are white.

    Args:
        values: (3, H, W): heat, and vectors (x, y); NaN is unknown. Red points to the right, cyan to the left.

    Returns:
        (H, W, 3) uint8 RGB: black where no vector is known, grey where the heat is not known either.
    """
    heat, x, y = np.nan_to_num(values)
    heat, length = np.where(np.isnan(values[0]), 0.25, heat.clip(0, 1)), np.hypot(x, y)
    hue = np.arctan2(y, x) / (2 * np.pi) % 1
    colourful = np.where(np.isnan(values[0]), 0, 1 - heat)
    colours = hsv_to_rgb(np.stack([hue, colourful, np.maximum(length / (length.max() or 1), heat)], -1))
    return np.rint(colours * 255).astype(np.uint8)


def outline(region_map: np.ndarray, thickness: int) -> np.ndarray:
    """Mark the pixels of regions that lie at most ``thickness`` pixels from another region, no region, or the border.

    An outline lies inside its region, so touching regions keep one each.

    Args:
        region_map: (H, W) integers up to 2^24, 0 for no region.
        thickness: Width of the outline in pixels.

    Returns:
        (H, W) bool.
    """
    kernel = np.ones((2 * thickness + 1,) * 2, np.uint8)
    if region_map.dtype != np.uint16:
        region_map = region_map.astype(np.float32)  # OpenCV cannot dilate 32-bit integers
    # A border of "no region" closes the outlines of regions that the picture cuts off.
    padded = cv2.copyMakeBorder(region_map, *(thickness,) * 4, cv2.BORDER_CONSTANT, value=0)
    differs = (cv2.dilate(padded, kernel) != padded) | (cv2.erode(padded, kernel) != padded)
    return differs[thickness:-thickness, thickness:-thickness] & (region_map > 0)


@lru_cache(maxsize=256)
def font(size: int, file: str = USUAL) -> ImageFont.FreeTypeFont:
    """A font from its file, by default the one that matplotlib ships; ``size`` in pixels."""
    return ImageFont.truetype(file, size)


def text_size(text: str, size: int, file: str = USUAL) -> tuple[int, int]:
    """Width and height in pixels of a line of text on its background."""
    ascent, descent = _metrics(text, size, file)
    width = sum(font(size, name).getlength(run) for run, name in font_runs(text, file))
    return int(np.ceil(width)) + 2 * _TEXT_MARGIN, ascent + descent


def _metrics(text: str, size: int, file: str) -> tuple[int, int]:
    """Pixels above and below the baseline of the letters."""
    of_fonts = [font(size, name).getmetrics() for name in {file, *(name for _, name in font_runs(text, file))}]
    return max(ascent for ascent, _ in of_fonts), max(descent for _, descent in of_fonts)


def shorten(text: str, size: int, width: int, file: str = USUAL) -> str:
    """Cut a text so that it fits into ``width`` pixels, with an ellipsis if something is missing."""
    if text_size(text, size, file)[0] <= width:
        return text
    while text and text_size(text + '…', size, file)[0] > width:
        text = text[:-1]
    return text + '…'


def draw_text(
    canvas: Image.Image, position: tuple[int, int], text: str, size: int, background: Colour, file: str = USUAL
) -> None:
    """Write a line with its top left corner at ``position``, in black or white, whichever has more contrast."""
    x, y = position
    width, height = text_size(text, size, file)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=background)
    luma = np.dot(background, (0.2126, 0.7152, 0.0722))
    left, base = float(x + _TEXT_MARGIN), y + _metrics(text, size, file)[0]
    for run, name in font_runs(text, file):
        face = font(size, name)
        draw.text((left, base), run, fill=(0, 0, 0) if luma > 110 else (255, 255, 255), font=face, anchor='ls')
        left += face.getlength(run)


def draw_box(canvas: Image.Image, box: np.ndarray, colour: Colour) -> None:
    """Draw a half-open xyxy box one pixel wide, inside its bounds."""
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    ImageDraw.Draw(canvas).rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=colour)


def place_labels(
    boxes: np.ndarray, sizes: Sequence[tuple[int, int]], width: int, height: int
) -> list[Optional[tuple[int, int]]]:
    """Find a free place for the label of each box, near it and inside the picture.

    Args:
        boxes: (R, 4) xyxy in pixels. Earlier boxes choose first.
        sizes: Width and height of each label; none may be larger than the picture.
        width, height: Of the picture.

    Returns:
        For each box the top left corner of its label, or None if every place is taken.
    """
    places: list[Optional[tuple[int, int]]] = []
    taken = np.zeros((0, 4))
    for (x1, y1, x2, y2), (w, h) in zip(boxes.tolist(), sizes):
        places.append(None)
        # Above and below, left and right aligned; then inside; then beside.
        for x, y in (
            (x1, y1 - h),
            (x1, y2),
            (x2 - w, y1 - h),
            (x2 - w, y2),
            (x1, y1),
            (x1, y2 - h),
            (x2, y1),
            (x1 - w, y1),
        ):
            x, y = int(min(max(x, 0), width - w)), int(min(max(y, 0), height - h))
            apart = (taken[:, 0] >= x + w) | (taken[:, 2] <= x) | (taken[:, 1] >= y + h) | (taken[:, 3] <= y)
            if apart.all():
                taken = np.concatenate([taken, [[x, y, x + w, y + h]]])
                places[-1] = (x, y)
                break
    return places


def title_bar(text: str, width: int, size: int, file: str = USUAL) -> np.ndarray:
    """A dark strip with a line of text; (h, ``width``, 3) uint8."""
    text = shorten(text, size, width, file)
    strip = Image.new('RGB', (width, text_size(text, size, file)[1] + 4), (32, 32, 32))
    draw_text(strip, (2, 2), text, size, (32, 32, 32), file)
    return np.array(strip)


def legend(entries: Sequence[tuple[str, Colour]], width: int, size: int, file: str = USUAL) -> np.ndarray:
    """Names on their colours, in as many lines as it takes; (h, ``width``, 3) uint8, h = 0 without entries."""
    gap, x, y = 4, 4, 4
    line = max(text_size(name, size, file)[1] for name in ('', *(name for name, _ in entries)))
    placed = []
    for name, colour in entries:
        name = shorten(name, size, width - 2 * gap, file)
        name_width = text_size(name, size, file)[0]
        if x > gap and x + name_width > width - gap:
            x, y = gap, y + line + gap
        placed.append(((x, y), name, colour))
        x += name_width + gap
    strip = Image.new('RGB', (width, y + line + gap if placed else 0), (32, 32, 32))
    for position, name, colour in placed:
        draw_text(strip, position, name, size, colour, file)
    return np.array(strip).reshape(-1, width, 3)
