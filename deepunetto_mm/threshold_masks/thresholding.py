"""Weak masks from a grey scale: a threshold, the side that is the object, clean-up, and a score of the result.

Thresholds are those of scikit-image: Otsu, *A threshold selection method from gray-level histograms* (IEEE SMC 9,
1979); Zack, Rogers and Latt, *Automatic measurement of sister chromatid exchange frequency* (J. Histochem. Cytochem.
25, 1977), the triangle; Li and Tam, *An iterative algorithm for minimum cross entropy thresholding* (Pattern
Recognition Letters 19, 1998); and the Gaussian mean of each pixel's surroundings.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Callable, Union

import cv2
import numpy as np
from scipy import ndimage

from deepunetto_mm.ops import LUMA_WEIGHTS

THRESHOLD_METHODS = ('otsu', 'triangle', 'li', 'adaptive')
THRESHOLD_CHANNELS = ('luminance', 'saturation', 'red', 'green', 'blue')
POLARITIES = ('dark', 'bright', 'auto')


@dataclass(frozen=True)
class ThresholdOptions:
    """The options of a mask.

    Clean-up follows the order of the attributes. Parts are connected by 8 neighbours, holes by 4.

    Attributes:
        method: One of :data:`THRESHOLD_METHODS`.
        channel: One of :data:`THRESHOLD_CHANNELS`, or ``'auto'``: the one that Otsu's threshold separates best, by
            :func:`separability`; ties go to the first.
        polarity: Whether the object is the ``'dark'`` or the ``'bright'`` side; ``'auto'``: the side with fewer of the
            pixels at the picture's border, because the background reaches the border; ties go to dark.
        drop_border: Leave out parts with a pixel at the picture's border. This comes first: otherwise the inside of a
            frame would be filled as a hole.
        fill_holes: Fill the holes of a part.
        min_part: Leave out parts below this share of the picture.
        keep_largest: Keep only the largest part; ties go to the first in reading order.
        block_share: Of ``'adaptive'``: side of the surroundings relative to the picture's shorter side. The Gaussian's
            sigma is a sixth of it.
        margin: Of ``'adaptive'``: the minimum difference of a pixel from its surroundings, in grey levels. Without a
            margin, noise makes half of every flat background an object.
        area_range: The plausible range of an object's share of the picture: see :func:`plausibility`.

    Raises:
        ValueError: If an option is out of range, or scikit-image is not installed.
    """

    method: str = 'otsu'
    channel: str = 'luminance'
    polarity: str = 'auto'
    drop_border: bool = False
    fill_holes: bool = True
    min_part: float = 0.001
    keep_largest: bool = False
    block_share: float = 1.5
    margin: float = 5.0
    area_range: tuple[float, float] = (0.05, 0.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'area_range', tuple(self.area_range))  # configs have lists
        choices = dict(method=THRESHOLD_METHODS, channel=(*THRESHOLD_CHANNELS, 'auto'), polarity=POLARITIES)
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f'{name} must be one of {known}, got {getattr(self, name)!r}')
        if not 0 <= self.min_part < 1:
            raise ValueError(f'min_part must be a share of the picture, at least 0 and below 1, got {self.min_part}')
        if self.block_share <= 0 or self.margin < 0:
            raise ValueError(
                f'block_share must be above 0 and margin at least 0, got {self.block_share} and {self.margin}'
            )
        if not 0 <= self.area_range[0] <= self.area_range[1] <= 1:
            raise ValueError(f'area_range must be two shares of the picture, the smaller first, got {self.area_range}')
        if not find_spec('skimage'):
            raise ValueError('masks by threshold need the package scikit-image: install it')


@dataclass(frozen=True)
class ThresholdMask:
    """A mask, its threshold, and its score.

    Attributes:
        mask: (H, W) uint8, 1 on the object and 0 on the background.
        channel: The channel of the threshold, one of :data:`THRESHOLD_CHANNELS`.
        threshold: In grey levels from 0 to 255; with ``'adaptive'`` the mean over the picture.
        polarity: ``'dark'``, the object is at the threshold or below; or ``'bright'``, above.
        area: Share of the picture that is object.
        separability: Of object and background in the channel, after clean-up.
        border: Share of the pixels at the picture's border that are object.
        score: 0 is worst and 1 best: ``separability * (1 - border) * plausibility(area)``. 0 if there is no object.
    """

    mask: np.ndarray
    channel: str
    threshold: float
    polarity: str
    area: float
    separability: float
    border: float
    score: float


def threshold_mask(rgb: np.ndarray, options: ThresholdOptions) -> ThresholdMask:
    """Separate a picture into object and background. No object is a normal result; a uniform picture has none.

    Args:
        rgb: (H, W, 3) uint8, channels in the order R, G, B.
        options: The options.

    Raises:
        ValueError: If the picture has another shape or type.
    """
    name = best_channel(rgb) if options.channel == 'auto' else options.channel
    values = grey_channel(rgb, name)
    threshold = find_threshold(values, options.method, options.block_share)
    # The margin is for thresholds that follow the background; the others lie between background and object.
    margin = options.margin if options.method == 'adaptive' else 0.0
    sides = dict(dark=values <= threshold - margin, bright=values > threshold + margin)
    if values.min() == values.max():
        sides['dark'] = sides['bright']  # no object, instead of the whole picture
    polarity = options.polarity
    if polarity == 'auto':
        polarity = min(sides, key=lambda side: border_contact(sides[side]))
    mask = clean_mask(sides[polarity], options.drop_border, options.fill_holes, options.min_part, options.keep_largest)
    area, eta, border = float(mask.mean()), separability(values, mask), border_contact(mask)
    score = eta * (1 - border) * plausibility(area, options.area_range)
    return ThresholdMask(mask, name, float(np.mean(threshold)), polarity, area, eta, border, score)


def grey_channel(rgb: np.ndarray, name: str) -> np.ndarray:
    """A grey picture of a colour picture.

    Args:
        rgb: (H, W, 3) uint8.
        name: One of :data:`THRESHOLD_CHANNELS`: ``'luminance'`` is luma of BT.709, ``'saturation'`` that of HSV, 255
            for pure colours and 0 for greys.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: If the picture has another shape or type, or there is no such channel.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(
            f'a picture must have shape (H, W, 3) and 8 bits per channel, got shape {rgb.shape} and {rgb.dtype}'
        )
    if name == 'luminance':
        return np.rint(rgb @ np.asarray(LUMA_WEIGHTS['bt709'], np.float32)).astype(np.uint8)
    if name == 'saturation':
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    if name in ('red', 'green', 'blue'):
        return np.ascontiguousarray(rgb[..., ('red', 'green', 'blue').index(name)])
    raise ValueError(f'channel must be one of {THRESHOLD_CHANNELS}, got {name!r}')


def best_channel(rgb: np.ndarray) -> str:
    """The channel in which Otsu's two classes differ most, by :func:`separability`; ties go to the first."""

    def otsu_separability(name: str) -> float:
        values = grey_channel(rgb, name)
        return separability(values, values > find_threshold(values, 'otsu'))

    return max(THRESHOLD_CHANNELS, key=otsu_separability)


def find_threshold(values: np.ndarray, method: str, block_share: float = 1.5) -> Union[float, np.ndarray]:
    """The grey level that separates dark (at or below it) and bright (above it).

    Args:
        values: (H, W) uint8.
        method: One of :data:`THRESHOLD_METHODS`.
        block_share: As in :class:`ThresholdOptions`.

    Returns:
        A number, or for ``'adaptive'`` one per pixel, (H, W) float64. A uniform picture's value is its threshold.
    """
    from skimage import filters  # optional

    if values.min() == values.max():
        return float(values.flat[0])
    if method == 'adaptive':
        # An odd number of pixels, so that the pixel is in the middle.
        block = 2 * (int(block_share * min(values.shape)) // 2) + 1
        return filters.threshold_local(values.astype(np.float64), block)
    find: dict[str, Callable] = dict(
        otsu=filters.threshold_otsu, triangle=filters.threshold_triangle, li=filters.threshold_li
    )
    return float(find[method](values))


def clean_mask(
    mask: np.ndarray,
    drop_border: bool = False,
    fill_holes: bool = True,
    min_part: float = 0.0,
    keep_largest: bool = False,
) -> np.ndarray:
    """Remove parts and fill holes; in the order of the options.

    Args:
        mask: (H, W), 0 or False on the background.
        drop_border, fill_holes, min_part, keep_largest: As in :class:`ThresholdOptions`.

    Returns:
        (H, W) uint8 of 0 and 1.
    """
    mask = mask.astype(np.uint8)
    if drop_border:
        _, parts = cv2.connectedComponents(mask, connectivity=8)
        mask = mask * ~np.isin(parts, np.unique(parts[_frame(mask.shape)]))
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask).astype(np.uint8)
    count, parts = cv2.connectedComponents(mask, connectivity=8)
    areas = np.bincount(parts.ravel(), minlength=count)
    kept = areas >= min_part * mask.size
    kept[0] = False
    if keep_largest and kept.any():
        kept = np.arange(count) == np.where(kept, areas, 0).argmax()
    return kept[parts].astype(np.uint8)


def separability(values: np.ndarray, mask: np.ndarray) -> float:
    """Variance between object and background over the whole variance, the eta of Otsu (1979).

    1 if both are uniform, 0 if their means are equal or one of them is empty. It does not depend on brightness and
    contrast. Otsu's threshold has the greatest eta, and even noise has a high one: 2 / pi = 0.64 for a normal
    distribution, 3 / 4 for a uniform one.

    Args:
        values: (H, W) numbers.
        mask: (H, W), 0 or False on the background.
    """
    inside = values[mask > 0]
    share, variance = inside.size / values.size, values.var()
    if not 0 < share < 1 or variance == 0:
        return 0.0
    difference = (inside.mean() - values.mean()) / (1 - share)  # of the means of object and background
    return float(min(share * (1 - share) * difference**2 / variance, 1.0))


def border_contact(mask: np.ndarray) -> float:
    """Share of the pixels in the first and last rows and columns that are object."""
    return float((mask[_frame(mask.shape)] > 0).mean())


def plausibility(area: float, area_range: tuple[float, float] = (0.05, 0.8)) -> float:
    """1 if a share of the picture is within the range; falls linearly to 0 for none and for all of it."""
    low, high = area_range
    below = area / low if area < low else 1.0
    above = (1 - area) / (1 - high) if area > high else 1.0
    return min(below, above)


def _frame(shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool, True at the border."""
    frame = np.ones(shape, bool)
    frame[1:-1, 1:-1] = False
    return frame
