import importlib.util
from math import pi

import cv2
import numpy as np
import pytest
from skimage import filters

from deepunetto_mm.threshold_masks.thresholding import (
    THRESHOLD_CHANNELS,
    ThresholdOptions,
    best_channel,
    border_contact,
    clean_mask,
    find_threshold,
    grey_channel,
    plausibility,
    separability,
    threshold_mask,
)


def _grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=2)


def _mask(text):
    return np.array([[int(cell) for cell in line] for line in text.split()], np.uint8)


#: 10x10, a square of 4x4 that is darker than its ground.
SQUARE = np.full((10, 10), 200, np.uint8)
SQUARE[3:7, 3:7] = 50


@pytest.fixture
def noise():
    """A square that is darker by 60, under noise."""
    rng = np.random.default_rng(0)
    values = rng.normal(150, 10, (60, 80))
    values[20:40, 30:50] -= 60
    return values.clip(0, 255).astype(np.uint8)


# Channels.


def test_channels_of_known_colours():
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [80, 80, 80], [200, 120, 150]]], np.uint8)
    # 255 * 0.2126 = 54.2, 255 * 0.7152 = 182.4, 255 * 0.0722 = 18.4; 42.52 + 85.82 + 10.83 = 139.17
    assert grey_channel(rgb, 'luminance').tolist() == [[54, 182, 18, 80, 139]]
    assert grey_channel(rgb, 'saturation').tolist() == [[255, 255, 255, 0, 102]]  # (200 - 120) / 200 * 255
    assert [grey_channel(rgb, name)[0, 4] for name in ('red', 'green', 'blue')] == [200, 120, 150]


def test_what_is_no_picture_is_refused():
    for wrong in (
        SQUARE,
        _grey(SQUARE).astype(np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
    ):
        with pytest.raises(ValueError, match=r'shape \(H, W, 3\) and 8 bits'):
            grey_channel(wrong, 'red')
    with pytest.raises(ValueError, match="channel must be one of .* got 'hue'"):
        grey_channel(_grey(SQUARE), 'hue')


def test_the_best_channel_is_the_one_that_shows_the_object():
    """A blue square on a ground as bright in red and green; noise everywhere."""
    rgb = np.random.default_rng(0).integers(90, 110, (20, 20, 3)).astype(np.uint8)
    rgb[5:15, 5:15, 2] += 100
    etas = {
        name: separability(values := grey_channel(rgb, name), values > filters.threshold_otsu(values))
        for name in THRESHOLD_CHANNELS
    }
    assert best_channel(rgb) == max(etas, key=etas.get) == 'blue'
    assert threshold_mask(rgb, ThresholdOptions(channel='auto')).channel == 'blue'
    assert best_channel(_grey(SQUARE)) == 'luminance'  # of equals the first
    assert best_channel(_grey(np.full((4, 4), 9))) == 'luminance'


# Thresholds.


@pytest.mark.parametrize('method', ['otsu', 'triangle', 'li'])
def test_thresholds_are_those_of_scikit_image(noise, method):
    assert find_threshold(noise, method) == getattr(filters, f'threshold_{method}')(noise)


def test_otsu_agrees_with_opencv(noise):
    assert find_threshold(noise, 'otsu') == cv2.threshold(noise, 0, 255, cv2.THRESH_OTSU)[0]


def test_otsu_has_the_greatest_separability(noise):
    etas = [separability(noise, noise > level) for level in range(256)]
    assert max(etas) == separability(noise, noise > find_threshold(noise, 'otsu'))


def test_adaptive_is_the_mean_around_each_pixel():
    values = np.arange(60, dtype=np.uint8).reshape(6, 10)
    # Of the 6 rows 3, 5.4 and 6, made odd.
    for share, block in ((0.5, 3), (0.9, 5), (1.0, 7)):
        np.testing.assert_allclose(
            find_threshold(values, 'adaptive', share), filters.threshold_local(values.astype(float), block)
        )


def test_adaptive_finds_an_object_on_a_sloping_ground():
    """The ground's dark end is darker than the object: no single threshold has both."""
    values = np.tile(np.linspace(40, 200, 80), (60, 1))
    truth = np.zeros((60, 80), bool)
    truth[25:35, 55:65] = True
    values[truth] -= 50
    rgb = _grey(values)
    for method, works in (('adaptive', True), ('otsu', False)):
        options = ThresholdOptions(method=method, polarity='dark', block_share=0.5, margin=10.0)
        assert (threshold_mask(rgb, options).mask == truth).all() == works


def test_a_margin_keeps_noise_out():
    ground = np.random.default_rng(0).integers(95, 106, (40, 40))
    shares = [
        threshold_mask(_grey(ground), ThresholdOptions(method='adaptive', margin=margin, min_part=0)).area
        for margin in (0.0, 8.0)
    ]
    assert shares[0] > 0.3
    assert shares[1] == 0


@pytest.mark.parametrize('method', ['otsu', 'triangle', 'li', 'adaptive'])
@pytest.mark.parametrize('value', [0, 77, 255])
@pytest.mark.parametrize('polarity', ['dark', 'bright', 'auto'])
def test_a_uniform_picture_has_no_object(method, value, polarity):
    found = threshold_mask(_grey(np.full((6, 5), value)), ThresholdOptions(method=method, polarity=polarity))
    assert not found.mask.any()
    assert (found.threshold, found.area, found.separability, found.border, found.score) == (value, 0, 0, 0, 0)


def test_a_single_pixel_is_a_picture():
    assert threshold_mask(_grey([[9]]), ThresholdOptions()).mask.tolist() == [[0]]


# Polarity.


def test_the_object_is_the_side_that_touches_the_border_less():
    for values, polarity in ((SQUARE, 'dark'), (255 - SQUARE, 'bright')):
        found = threshold_mask(_grey(values), ThresholdOptions())
        assert found.polarity == polarity
        assert found.mask.dtype == np.uint8
        assert (found.mask == (SQUARE == 50)).all()


def test_polarity_can_be_said():
    dark = threshold_mask(_grey(SQUARE), ThresholdOptions(polarity='dark')).mask
    bright = threshold_mask(_grey(SQUARE), ThresholdOptions(polarity='bright', fill_holes=False)).mask
    assert (dark + bright == 1).all()


def test_where_both_sides_touch_the_border_alike_dark_is_the_object():
    halves = np.repeat([[10, 10, 90, 90]], 4, axis=0)
    found = threshold_mask(_grey(halves), ThresholdOptions())
    assert found.polarity == 'dark'
    assert found.mask.tolist() == [[1, 1, 0, 0]] * 4


# Clean-up.

PARTS = _mask("""
    11000000
    11011110
    00010010
    01010010
    00011110
    00000000""")


def test_each_step_of_the_clean_up_by_itself():
    assert (clean_mask(PARTS, fill_holes=False) == PARTS).all()
    filled = PARTS.copy()
    filled[2:4, 4:6] = 1
    assert (clean_mask(PARTS) == filled).all()
    inner = PARTS.copy()
    inner[:2, :2] = 0
    assert (clean_mask(PARTS, drop_border=True, fill_holes=False) == inner).all()
    # Of 48 pixels, the corner has 4, the ring 12, the point 1.
    for smallest, areas in ((0.02, 17), (0.03, 16), (4 / 48, 16), (0.1, 12), (0.3, 0)):
        assert clean_mask(PARTS, fill_holes=False, min_part=smallest).sum() == areas
    ring = np.zeros_like(PARTS)
    ring[1:5, 3:7] = PARTS[1:5, 3:7]
    assert (clean_mask(PARTS, fill_holes=False, keep_largest=True) == ring).all()


def test_holes_count_for_the_area_and_frames_for_none():
    assert clean_mask(PARTS, min_part=16 / 48).sum() == 16
    frame = np.ones((6, 6), np.uint8)
    frame[1:-1, 1:-1] = 0
    frame[2:4, 2:4] = 1
    # Filled first, the frame would have swallowed everything.
    assert clean_mask(frame, drop_border=True).sum() == 4
    assert clean_mask(frame).sum() == 36


def test_parts_are_connected_by_corners_and_holes_are_not():
    diamond = _mask('00000 00100 01010 00100 00000')
    assert clean_mask(diamond, keep_largest=True).tolist() == _mask('00000 00100 01110 00100 00000').tolist()


def test_clean_up_of_nothing_and_of_everything():
    for options in (dict(), dict(drop_border=True), dict(keep_largest=True, min_part=0.5)):
        assert clean_mask(np.zeros((3, 4), bool), **options).tolist() == [[0] * 4] * 3
    assert clean_mask(np.ones((3, 4), bool)).all()
    assert not clean_mask(np.ones((3, 4), bool), drop_border=True).any()


def test_of_two_largest_parts_the_first_remains():
    assert clean_mask(_mask('1100 0000 0011'), keep_largest=True).tolist() == _mask('1100 0000 0000').tolist()


# Quality.


def test_separability_by_hand():
    values = np.array([[0, 2, 8, 10]])
    # Means 1 and 9, of all 5: between 4 * 4 = 16, the whole (25 + 9 + 9 + 25) / 4 = 17.
    assert separability(values, _mask('0011')) == pytest.approx(16 / 17)
    # Means 10 / 3 and 10, shares 3 / 4 and 1 / 4: 3 / 16 * (20 / 3) ** 2 = 25 / 3.
    assert separability(values, _mask('0001')) == pytest.approx(25 / 3 / 17)
    assert separability(values, _mask('1001')) == 0
    assert separability(np.array([[3, 3, 7, 7]]), _mask('1100')) == 1
    for mask in ('0000', '1111'):
        assert separability(values, _mask(mask)) == 0
    assert separability(np.full((1, 4), 5), _mask('0011')) == 0


def test_separability_of_noise_is_high():
    rng = np.random.default_rng(0)
    normal, uniform = rng.normal(0, 1, 100000), rng.uniform(-1, 1, 100000)
    assert separability(normal, normal > 0) == pytest.approx(2 / pi, abs=0.01)
    assert separability(uniform, uniform > 0) == pytest.approx(3 / 4, abs=0.01)


def test_border_contact_by_hand():
    assert border_contact(PARTS) == 3 / 24  # 8 + 8 + 4 + 4 pixels at the border
    assert border_contact(_mask('111 101 111')) == 1
    assert border_contact(_mask('000 010 000')) == 0
    assert border_contact(_mask('10')) == 0.5


def test_plausibility_by_hand():
    values = [plausibility(area) for area in (0, 0.01, 0.05, 0.3, 0.8, 0.9, 1)]
    assert values == pytest.approx([0, 0.2, 1, 1, 1, 0.5, 0])
    assert [plausibility(area, (0.0, 1.0)) for area in (0, 1)] == [1, 1]


def test_the_score_is_the_product():
    values = SQUARE.copy()
    values[3:7, 0:3] = 50  # now of 4x7 pixels, 4 of the 36 at the border
    found = threshold_mask(_grey(values), ThresholdOptions())
    assert (found.threshold, found.area, found.separability) == (50, 0.28, 1)
    assert found.score == pytest.approx(1 - 4 / 36)
    narrow = threshold_mask(_grey(values), ThresholdOptions(area_range=(0.56, 1.0)))
    assert narrow.score == pytest.approx((1 - 4 / 36) / 2)
    # Filling the ground's holes changes the separability: the mask is all, and there is no ground.
    bright = threshold_mask(_grey(SQUARE), ThresholdOptions(polarity='bright'))
    assert (bright.area, bright.separability, bright.score) == (1, 0, 0)


# Options.


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(method='mean'), 'method must be one of'),
        (dict(channel='hue'), 'channel must be one of'),
        (dict(polarity='grey'), 'polarity must be one of'),
        (dict(min_part=1), 'min_part must be a share'),
        (dict(block_share=0), 'block_share must be above 0'),
        (dict(margin=-1), 'margin at least 0'),
        (dict(area_range=(0.5, 0.4)), 'area_range must be two shares'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        ThresholdOptions(**options)


def test_without_scikit_image_the_error_says_so(monkeypatch):
    monkeypatch.setattr('deepunetto_mm.threshold_masks.thresholding.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='need the package scikit-image: install it'):
        ThresholdOptions()
    assert importlib.util.find_spec('skimage')


def test_cells_are_found_on_real_smears(real_data):
    """A regression guard far below what docs/threshold_masks.md reports."""
    folder, ious = real_data / 'wbc1', []
    for path in sorted((folder / 'images' / 'val').glob('*.png'))[::6]:
        cell = np.isin(cv2.imread(str(folder / 'masks' / 'val' / path.name), cv2.IMREAD_UNCHANGED), (1, 2))
        found = threshold_mask(cv2.imread(str(path))[..., ::-1], ThresholdOptions()).mask > 0
        ious.append((found & cell).sum() / (found | cell).sum())
    assert np.mean(ious) > 0.7
