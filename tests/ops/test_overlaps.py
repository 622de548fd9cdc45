import numpy as np
import pytest

from deepunetto_mm.ops import count_overlaps, encode_regions, match_regions


def test_regions_are_numbered_by_their_row():
    region_map = np.array([[0, 900], [7, 0]], np.int32)
    assert encode_regions(region_map, np.array([900, 7, 12])).tolist() == [[0, 1], [2, 0]]
    assert encode_regions(np.zeros((2, 2), np.int64), np.zeros(0, np.int64)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize('stranger', [-1, 3, 13])
def test_an_id_that_is_not_listed_is_refused(stranger):
    with pytest.raises(ValueError, match=rf'ids \[{stranger}\] are in the map but not in the list'):
        encode_regions(np.array([[7, stranger]]), np.array([7, 12]))


def test_overlaps_are_counted_pair_by_pair():
    # Two true regions (1, 2) and void (3); two predicted regions.
    gt = np.array([[1, 1, 0, 0], [1, 1, 2, 2], [0, 0, 2, 3], [0, 0, 3, 3]])
    pred = np.array([[1, 1, 1, 0], [1, 0, 0, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    overlaps = count_overlaps(gt, pred, 2, 2)
    assert list(zip(overlaps.gt, overlaps.pred, overlaps.shared, strict=True)) == [(0, 0, 3), (1, 1, 2)]
    assert overlaps.gt_areas.tolist() == [4, 3]
    assert overlaps.pred_areas.tolist() == [4, 5]
    assert overlaps.pred_void.tolist() == [0, 3]
    matches = match_regions(overlaps, np.array([True, True]), overlaps.pred_void)
    # The second predicted region has 2 pixels left outside the void, both in the true region of 3.
    assert list(zip(matches.gt, matches.pred, strict=True)) == [(0, 0), (1, 1)]
    assert list(zip(matches.shared, matches.union, strict=True)) == [(3, 5), (2, 3)]


def test_many_regions_are_counted_by_sorting_and_agree():
    # 2000 x 2000 possible pairs exceed the table's limit, 20 x 20 do not.
    rng = np.random.default_rng(0)
    gt, pred = rng.integers(0, 22, (60, 70)), rng.integers(0, 21, (60, 70))
    small, large = count_overlaps(gt, pred, 20, 20), count_overlaps(np.where(gt == 21, 2001, gt), pred, 2000, 2000)
    for name in ('gt', 'pred', 'shared'):
        assert np.array_equal(getattr(small, name), getattr(large, name))
    for name in ('gt_areas', 'pred_areas', 'pred_void'):
        assert np.array_equal(getattr(small, name), getattr(large, name)[:20])
        assert not getattr(large, name)[20:].any()


GT = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 2], [0, 0, 0, 2]])
NO_VOID = np.zeros(2, np.int64)


@pytest.mark.parametrize(('pixels', 'matched'), [(2, []), (3, [1])])  # of 4: an IoU of exactly one half is no match
def test_regions_match_above_one_half(pixels, matched):
    pred = ((GT == 2) & (np.arange(4)[:, None] < pixels)).astype(int)
    overlaps = count_overlaps(GT, pred, 2, 1)
    matches = match_regions(overlaps, np.ones(len(overlaps.gt), bool), NO_VOID[:1])
    assert matches.gt.tolist() == matched


def test_only_pairs_that_may_match_do():
    overlaps = count_overlaps(GT, GT, 2, 2)
    matches = match_regions(overlaps, overlaps.gt == 1, NO_VOID)
    assert (matches.gt.tolist(), matches.pred.tolist(), matches.shared.tolist(), matches.union.tolist()) == (
        [1],
        [1],
        [4],
        [4],
    )
