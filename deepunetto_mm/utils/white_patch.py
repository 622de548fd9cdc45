"""The white-patch rule, on arrays; :mod:`deepunetto_mm.runtime` shares it, so it needs numpy and OpenCV alone."""

import cv2
import numpy as np


def adapt_to_white(picture: np.ndarray, percentile: float) -> np.ndarray:
    """Scale each channel of a picture, so that its ``percentile`` becomes 255, as ``ChromaticAdaptation`` says.

    Args:
        picture: (H, W, C) or (H, W) uint8.
        percentile: Above 0, at most 100.

    Returns:
        The same shape and type; black channels stay black.
    """
    channels = picture.reshape(*picture.shape[:2], -1)
    tables = [_table(channels[..., c], percentile) for c in range(channels.shape[2])]
    return cv2.LUT(channels, np.stack(tables, axis=-1)[None]).reshape(picture.shape)


def _table(channel: np.ndarray, percentile: float) -> np.ndarray:
    """The new value of each old one, (256,) uint8."""
    values = np.arange(256)
    # A histogram, because sorting two megapixels takes ten times as long.
    counts = np.bincount(channel.ravel(), minlength=256).cumsum()
    white = np.searchsorted(counts, percentile / 100 * counts[-1])
    if white == 0:  # a black channel
        return values.astype(np.uint8)
    return np.rint(values * 255 / white).clip(max=255).astype(np.uint8)
