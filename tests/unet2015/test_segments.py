"""Segments between borders, and the agreement of two partitions, by hand and against scikit-image."""

import math

import numpy as np
import pytest
from skimage.measure import shannon_entropy
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information

from deepunetto_mm.unet2015.segments import compare_segments, connected_segments, thinned_segments


def grid(rows):
    return np.array([[int(digit) for digit in row] for row in rows.split()])


def test_a_diagonal_border_parts_segments():
    segments = connected_segments(grid('110 101 011') > 0)
    assert segments.tolist() == [[1, 1, 0], [1, 0, 2], [0, 2, 2]]
    assert segments.dtype == np.int32


def test_borders_are_thinned_to_lines_between_segments():
    assert thinned_segments(grid('1100011 1100011') > 0).tolist() == [[1, 1, 1, 0, 2, 2, 2]] * 2


def test_a_border_with_one_segment_around_it_vanishes():
    cells = np.ones((7, 7), bool)
    cells[2:5, 3] = False
    assert (thinned_segments(cells) == 1).all()


def test_no_border_and_nothing_but_border_are_one_segment():
    for cells in (np.ones((3, 4), bool), np.zeros((3, 4), bool)):
        assert (thinned_segments(cells) == 1).all()


def test_thinned_segments_touch_nowhere():
    segments = thinned_segments(np.random.rand(40, 50) > 0.5)
    assert segments.max() > 10
    for a, b in [(segments[1:], segments[:-1]), (segments[:, 1:], segments[:, :-1])]:
        assert ((a == b) | (a == 0) | (b == 0)).all()


def test_equal_partitions():
    truth = grid('110222 110222')
    assert compare_segments(truth, truth) == (1, 1)
    assert compare_segments(truth, grid('770555 770555')) == (1, 1)


@pytest.mark.parametrize('seed', range(3))
def test_numbers_of_segments_are_names(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 6, (2, 20, 30))
    # 0 is none; the others get any names, in any order.
    of_truth, of_predicted = (np.append(0, rng.permutation(np.arange(1, 300))[:5]) for _ in range(2))
    assert compare_segments(of_truth[truth], of_predicted[predicted]) == compare_segments(truth, predicted)


def test_a_split():
    """One of two segments of 4 pixels in halves: p 1/2, 1/4, 1/4; t 1/2, 1/2; s as p."""
    v_rand, v_info = compare_segments(grid('11112222'), grid('11112233'))
    assert v_rand == pytest.approx((1 / 4 + 1 / 16 + 1 / 16) / ((1 / 2 + 3 / 8) / 2))
    assert v_info == pytest.approx(1 / ((1 + 1.5) / 2))  # in bits: I = H(T) = 1, H(S) = 1.5


def test_a_merger():
    """The other way round: both scores are symmetrical."""
    expected = compare_segments(grid('11112222'), grid('11112233'))
    assert compare_segments(grid('11112233'), grid('11112222')) == pytest.approx(expected)


def test_everything_in_one_segment():
    assert compare_segments(grid('11112222'), grid('11111111')) == (pytest.approx((1 / 2) / ((1 / 2 + 1) / 2)), 0)
    assert compare_segments(grid('1111'), grid('1122')) == (pytest.approx((1 / 2) / ((1 + 1 / 2) / 2)), 0)
    assert compare_segments(grid('0111'), grid('2222')) == (1, 1)


def test_pixels_of_a_line_are_segments_each():
    """A true segment of 4 pixels, of which two are on lines: p 1/2, 1/4, 1/4."""
    v_rand, v_info = compare_segments(grid('11112222'), grid('10103333'))
    p = [2 / 8, 1 / 8, 1 / 8, 4 / 8]
    assert v_rand == pytest.approx(sum(x * x for x in p) / ((1 / 2 + sum(x * x for x in p)) / 2))
    assert v_info == pytest.approx(2 / (1 + sum(-x * math.log2(x) for x in p)))
    assert compare_segments(grid('11112222'), grid('14153333')) == pytest.approx((v_rand, v_info))


def test_pixels_outside_true_segments_do_not_count():
    assert compare_segments(grid('110022'), grid('113422')) == (1, 1)


def test_without_a_true_segment_nothing_is_defined():
    assert all(math.isnan(score) for score in compare_segments(grid('000'), grid('112')))
    assert all(math.isnan(score) for score in compare_segments(np.zeros((0, 4), int), np.zeros((0, 4), int)))


@pytest.mark.parametrize('seed', range(5))
def test_agrees_with_scikit_image(seed):
    """scikit-image's Rand error leaves out the pairs of a pixel with itself, and has no single pixels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (20, 30))
    predicted = np.where(rng.random((20, 30)) < 0.6, truth, 0) + rng.integers(1, 5, (20, 30))
    v_rand, v_info = compare_segments(truth, predicted)

    table = contingency_table(truth, predicted, ignore_labels=[0], normalize=True, sparse_type='array').toarray()
    of_truth, of_predicted = table.sum(1), table.sum(0)
    assert v_rand == pytest.approx(2 * (table**2).sum() / ((of_truth**2).sum() + (of_predicted**2).sum()))
    error, *_ = adapted_rand_error(truth, predicted)
    shared, single = (table**2).sum(), 1 / (truth > 0).sum()
    assert 1 - error == pytest.approx((shared - single) / (shared / v_rand - single))

    # H(S|T) and H(T|S), in bits.
    splits, mergers = variation_of_information(truth, predicted, ignore_labels=[0])
    h_truth, h_predicted = (shannon_entropy(labels[truth > 0]) for labels in (truth, predicted))
    assert v_info == pytest.approx((h_truth - mergers) / ((h_truth + h_predicted) / 2))
    assert v_info == pytest.approx((h_predicted - splits) / ((h_truth + h_predicted) / 2))
