import math

import pytest
import torch
import torch.nn.functional as F

from deepunetto_mm.ops import centre_crop, mirrored_indices, mirrored_window, tile_spans


def _layout(*args, **options):
    return [(span.start, span.low, span.high) for span in tile_spans(*args, **options)]


# ------------------------------------------------------------------------------------------------------------- layouts
@pytest.mark.parametrize(
    ('size', 'tile', 'divisor', 'expected'),
    [
        (8, 4, 1, [(0, 0, 4), (4, 4, 8)]),
        (4, 4, 1, [(0, 0, 4)]),
        (1, 4, 2, [(0, 0, 1)]),
        # 9 pixels: the last tile begins at 5 and shares 5 to 7 with the one before, which begins at 4; half is 6.
        (9, 4, 1, [(0, 0, 4), (4, 4, 6), (5, 6, 9)]),
        # The same at multiples of 2: the last begins at 6, and its last pixel lies outside.
        (9, 4, 2, [(0, 0, 4), (4, 4, 7), (6, 7, 9)]),
        # Tiles of 6 at multiples of 4 overlap by 2, of which each gets one.
        (14, 6, 4, [(0, 0, 5), (4, 5, 9), (8, 9, 14)]),
        # The paper's: 388 pixels, 4 of which the next tile predicts too, since only 384 is a multiple of 16.
        (772, 388, 16, [(0, 0, 386), (384, 386, 772)]),
        # One pixel more takes a third, from 400 on: 400 to 771 lie in both, and it takes over at 586.
        (773, 388, 16, [(0, 0, 386), (384, 386, 586), (400, 586, 773)]),
    ],
)
def test_hand_computed_layouts(size, tile, divisor, expected):
    assert _layout(size, tile, divisor) == expected


def test_hand_computed_layouts_with_blending():
    """Half a tile further, and no more than the divisor allows; each answers for all that lies in the picture."""
    assert _layout(8, 4, blending='gaussian') == [(0, 0, 4), (2, 2, 6), (4, 4, 8)]
    assert _layout(9, 6, 2, blending='gaussian') == [(0, 0, 6), (2, 2, 8), (4, 4, 9)]
    assert _layout(3, 4, blending='gaussian') == [(0, 0, 3)]


@pytest.mark.parametrize(
    ('tile', 'divisor', 'blending'),
    [
        *[(1, 1, None), (7, 1, None), (8, 4, None), (20, 16, None), (36, 16, None)],
        *[(2, 1, 'gaussian'), (7, 1, 'gaussian'), (12, 4, 'gaussian'), (36, 16, 'gaussian')],
    ],
)
def test_shares_sum_to_one_at_every_pixel(tile, divisor, blending):
    for size in range(1, 150):
        spans = tile_spans(size, tile, divisor, blending)
        total, answers = torch.zeros(size, dtype=torch.float64), torch.zeros(size)
        for span in spans:
            assert span.start % divisor == 0
            assert 0 <= span.low - span.start < span.high - span.start <= tile
            assert span.shares.min() > 0
            total[span.low : span.high] += span.shares
            answers[span.low : span.high] += 1
        torch.testing.assert_close(total, torch.ones_like(total))
        assert blending or (answers == 1).all()
        assert len({span.start for span in spans}) == len(spans)
        assert spans[-1].start + tile - size < divisor or size < tile


@pytest.mark.parametrize('size', [1, 388, 389, 772, 1000, 2048])
def test_no_more_tiles_than_needed(size):
    """388 pixels of the first, 384 of each further one."""
    assert len(tile_spans(size, 388, 16)) == 1 + max(0, -(-(size - 388) // 384))


def test_shares_of_two_gaussians():
    """Tiles of 8, standard deviation 1: at pixel 4 the middles, 3.5 and 7.5, are 0.5 and 3.5 away."""
    first, second = tile_spans(12, 8, blending='gaussian')
    near, far = torch.tensor([-0.5 * 0.5**2, -0.5 * 3.5**2], dtype=torch.float64).exp()
    torch.testing.assert_close(first.shares[4], near / (near + far))
    torch.testing.assert_close(second.shares[0], far / (near + far))
    assert (first.shares[:4] == 1).all()


def test_shares_change_slowly():
    """Two Gaussians d apart divide a pixel, x from their middle, by the logistic function of x d / s², whose slope is
    d / 4s² at most: with half a tile for d and an eighth for s, 8 / tile. The second begins 15.5 pixels before the
    middle.
    """
    _, second = tile_spans(96, 64, blending='gaussian')
    rise = torch.cat([torch.zeros(1, dtype=torch.float64), second.shares]).diff()
    assert (rise >= 0).all()
    assert 0.9 * 8 / 64 < rise.max() <= 8 / 64
    assert rise[0].item() == pytest.approx(1 / (1 + math.exp(15.5 * 32 / 8**2)))
    assert rise[0] < 5e-4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(tile=15, divisor=16), 'tiles of 15 pixels are too small: they need at least 16'),
        (dict(tile=31, divisor=16, blending='gaussian'), 'at least 32 to begin 16 apart'),
        (dict(tile=0), 'at least 1'),
        (dict(tile=8, blending='gauss'), "one of .*'gaussian'.*, got 'gauss'"),
    ],
)
def test_layouts_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        tile_spans(100, **options)


# -------------------------------------------------------------------------------------------------------------- mirror
def test_hand_computed_mirror():
    assert mirrored_indices(-4, 7, 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    assert mirrored_indices(-3, 4, 2).tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert mirrored_indices(-3, 4, 1).tolist() == [0] * 7
    assert mirrored_indices(2, 5, 9).tolist() == [2, 3, 4]
    assert mirrored_indices(-92, 0, 5).dtype == torch.int64


def test_window_equals_torchs_reflection_where_that_can():
    picture = torch.rand(2, 9, 7)
    expected = F.pad(picture[None], (6, 6, 8, 8), mode='reflect')[0]
    assert torch.equal(mirrored_window(picture, -8, -6, 25, 19), expected)
    assert torch.equal(mirrored_window(picture, 3, -2, 4, 5), expected[:, 11:15, 4:9])


@pytest.mark.parametrize('shape', [(3, 5), (2, 2), (3, 2)])
def test_window_equals_repeated_reflection_of_tiny_pictures(shape):
    picture = expected = torch.rand(1, *shape)
    padded = [0, 0]
    while min(padded) < 20:
        height, width = expected.shape[1:]
        expected = F.pad(expected[None], (width - 1, width - 1, height - 1, height - 1), mode='reflect')[0]
        padded = [padded[0] + height - 1, padded[1] + width - 1]
    window = mirrored_window(picture, -20, -20, 40 + shape[0], 40 + shape[1])
    top, left = padded[0] - 20, padded[1] - 20
    assert torch.equal(window, expected[:, top : top + window.shape[1], left : left + window.shape[2]])


def test_a_single_column_is_mirrored_along_itself():
    picture = torch.tensor([[[1], [2], [3]]])
    assert mirrored_window(picture, -2, -1, 7, 3).tolist() == [[[n] * 3 for n in (3, 2, 1, 2, 3, 2, 1)]]


def test_as_much_from_each_side():
    x = torch.arange(5 * 8).view(1, 5, 8)
    assert centre_crop(x, (1, 4)).tolist() == [[[18, 19, 20, 21]]]
    assert centre_crop(x, (3, 2)).tolist() == [[[11, 12], [19, 20], [27, 28]]]
    assert torch.equal(centre_crop(x, x.shape[1:]), x)


def test_leading_dimensions_and_type_stay():
    assert centre_crop(torch.zeros(2, 3, 6, 6, dtype=torch.uint8), (4, 2)).shape == (2, 3, 4, 2)
    assert centre_crop(torch.zeros(6, 6, dtype=torch.bool), torch.Size((4, 2))).dtype == torch.bool


@pytest.mark.parametrize('size', [(4, 8), (5, 7), (7, 8), (5, 10)])
def test_no_centre_half_a_pixel_off_or_beyond_the_border(size):
    with pytest.raises(ValueError, match=f'a map of 5x8 has no centre of {size[0]}x{size[1]}'):
        centre_crop(torch.zeros(1, 5, 8), size)
