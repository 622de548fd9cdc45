import math

import numpy as np
import pytest

from deepunetto_mm.ops import PADDING_ID
from deepunetto_mm.unet2015.border_weights import border_weights, class_balance


def _brute_force(region_map, w0, sigma):
    """The formula of the paper, from every pixel to every border pixel."""
    height, width = region_map.shape
    borders = {}
    for y in range(height):
        for x in range(width):
            own = region_map[y, x]
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            values = {region_map[i, j] for i, j in around if 0 <= i < height and 0 <= j < width}
            if own not in (0, PADDING_ID) and values - {own, PADDING_ID}:
                borders.setdefault(own, []).append((y, x))
    weights = np.zeros(region_map.shape)
    for y in range(height):
        for x in range(width):
            distances = sorted(min(math.dist((y, x), point) for point in points) for points in borders.values())
            if len(distances) > 1 and region_map[y, x] != PADDING_ID:
                weights[y, x] = w0 * math.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return weights


def _scene(seed, shape=(24, 31), count=7):
    """Rectangles of random ids, touching, nested and torn apart, with padding at two sides."""
    rng = np.random.default_rng(seed)
    region_map = np.zeros(shape, np.int32)
    for region in rng.choice([1, 2, 7, 254, 256, 65536, 2**31 - 1], count):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        region_map[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = region
    region_map[-3:] = PADDING_ID
    region_map[:5, :4] = PADDING_ID
    return region_map


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize(('w0', 'sigma'), [(10, 5), (3.5, 0.8), (1, 40)])
def test_equals_the_formula_for_every_pixel(seed, w0, sigma):
    region_map = _scene(seed)
    weights = border_weights(region_map, w0, sigma)
    assert weights.dtype == np.float32
    assert weights.max() > 0
    # A narrow Gaussian falls below float32's normal numbers, 1e-38, which have no 7 digits.
    np.testing.assert_allclose(weights, _brute_force(region_map, w0, sigma), rtol=1e-6, atol=1e-40)


def test_by_hand():
    region_map = np.array([[1, 1, 0, 2, 0]])
    # Distances to the borders, the pixels 1 and 3: their sums are 1 + 3, 0 + 2, 1 + 1, 0 + 2, 1 + 3.
    sums = np.array([[4, 2, 2, 2, 4]])
    np.testing.assert_allclose(border_weights(region_map), 10 * np.exp(-(sums**2) / 50), rtol=1e-6)


def test_nothing_is_cut_off_far_away():
    """Just inside of where float32 underflows, which is 14.5 sigma for a w0 of 10."""
    region_map = np.zeros((3, 400), np.uint8)
    region_map[1, [0, 399]] = 1, 2
    sigma = 399 / 14.4
    weights = border_weights(region_map, sigma=sigma)
    assert 0 < weights[1, 0] < 1e-40
    np.testing.assert_allclose(weights, _brute_force(region_map, 10, sigma), rtol=1e-6, atol=1e-44)
    # A region alone in its window still leaves the second distance infinite.
    assert (border_weights(region_map, sigma=1) == 0).all()


@pytest.mark.parametrize('region_map', [np.zeros((4, 5), int), np.full((4, 5), 3), np.eye(5, dtype=int) * 9])
def test_less_than_two_regions(region_map):
    assert (border_weights(region_map) == 0).all()


def test_padding_is_no_region_and_cuts_no_border():
    region_map = np.array([[1, 1, 1, PADDING_ID, 2, 2, 2, 0]], np.uint8)
    weights = border_weights(region_map)
    # Region 1 has no border in sight, hence region 2 has no neighbour.
    assert (weights == 0).all()
    region_map[0, 0] = 0
    weights = border_weights(region_map)
    assert weights[0, 3] == 0
    # The borders are the pixels 1 and 6.
    np.testing.assert_allclose(weights[0, [0, 2, 5]], 10 * np.exp(-(np.array([7, 5, 5]) ** 2) / 50), rtol=1e-6)


def test_options():
    two = np.array([[1, 0, 2]])
    assert (border_weights(two, w0=0) == 0).all()
    with pytest.raises(ValueError, match='w0=-1 and sigma=5'):
        border_weights(two, w0=-1)
    with pytest.raises(ValueError, match='sigma above 0.*sigma=0'):
        border_weights(two, sigma=0)
    with pytest.raises(ValueError, match=r'got shape \(1, 1, 3\)'):
        border_weights(two[None])
    with pytest.raises(ValueError, match='float64'):
        border_weights(two.astype(float))


def test_class_balance_by_hand():
    labels = np.array([[0, 0, 0, 0], [0, 0, 3, 3], [255, 255, 255, 255]], np.uint8)
    # 8 labelled pixels in 2 classes: 8 / (2 * 6) and 8 / (2 * 2).
    expected = [[2 / 3] * 4, [2 / 3, 2 / 3, 2, 2], [0] * 4]
    weights = class_balance(labels)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights[:2].mean() == pytest.approx(1)
    np.testing.assert_allclose(class_balance(labels, ignore_index=3)[2], 10 / (2 * 4))


@pytest.mark.parametrize('labels', [np.full((2, 3), 255), np.zeros((0, 4), int)])
def test_class_balance_without_a_labelled_pixel(labels):
    weights = class_balance(labels)
    assert weights.shape == labels.shape
    assert (weights == 0).all()
