import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.fine.sampling import draw_regions, name_by_match

EMPTY = torch.zeros(2, 4, dtype=torch.int64)


def _pred(ids, labels):
    return InstanceData(ids=torch.tensor(ids, dtype=torch.int64), labels=torch.tensor(labels, dtype=torch.int64))


def _gt(ids, labels, fine_labels):
    regions = _pred(ids, labels)
    regions.fine_labels = torch.tensor(fine_labels, dtype=torch.int64)
    return regions


def _names(pred, pred_map, gt, gt_map):
    return name_by_match(pred, torch.as_tensor(pred_map), gt, torch.as_tensor(gt_map)).fine_labels.tolist()


def test_names_follow_the_pixels_and_not_the_ids():
    # Predicted 1 lies on ground truth 9, and predicted 2 on ground truth 4.
    pred_map = [[1, 1, 0, 2], [1, 1, 0, 2]]
    gt_map = [[9, 9, 0, 4], [9, 9, 0, 4]]
    pred, gt = _pred([1, 2], [0, 0]), _gt([4, 9], [0, 0], [5, 6])
    named = name_by_match(pred, torch.tensor(pred_map), gt, torch.tensor(gt_map))
    assert named.fine_labels.tolist() == [6, 5]
    assert named.fine_labels.dtype == torch.int64
    assert named.ids.tolist() == [1, 2]
    assert 'fine_labels' not in pred.keys()  # a copy was named


@pytest.mark.parametrize(
    ('pred_map', 'name'),
    [
        ([[1, 1, 1, 0], [0, 0, 0, 0]], 3),  # 3 of 4 pixels: IoU 3/4
        ([[1, 1, 1, 1], [1, 1, 1, 0]], 3),  # 4 of 7
        ([[1, 1, 0, 0], [0, 0, 0, 0]], -1),  # 2 of 4: exactly one half is no match
        ([[1, 1, 1, 1], [1, 1, 1, 1]], -1),  # 4 of 8: likewise
        ([[0, 0, 0, 0], [1, 1, 1, 1]], -1),  # nothing shared
    ],
)
def test_matches_above_one_half_alone(pred_map, name):
    gt_map = [[5, 5, 5, 5], [0, 0, 0, 0]]
    assert _names(_pred([1], [0]), pred_map, _gt([5], [0], [3]), gt_map) == [name]


def test_another_group_is_no_match():
    region_map = [[1, 1, 0, 2], [1, 1, 0, 2]]
    assert _names(_pred([1, 2], [0, 1]), region_map, _gt([1, 2], [1, 1], [3, 4]), region_map) == [-1, 4]


def test_an_unannotated_region_gives_no_name():
    region_map = [[1, 1, 0, 2], [1, 1, 0, 2]]
    assert _names(_pred([1, 2], [0, 0]), region_map, _gt([1, 2], [0, 0], [-1, 0]), region_map) == [-1, 0]


def test_padding_is_no_region():
    pred_map = [[1, 1, 2, 2], [1, 1, 2, 2]]
    gt_map = [[6, 6, 255, 255], [6, 6, 255, 255]]
    assert _names(_pred([1, 2], [0, 0]), pred_map, _gt([6], [0], [1]), gt_map) == [1, -1]


def test_a_region_that_augmentation_moved_out_is_no_match():
    region_map = [[0, 0, 8, 8], [0, 0, 8, 8]]
    assert _names(_pred([8], [0]), region_map, _gt([3, 8], [0, 0], [1, 2]), region_map) == [2]


def test_nothing_predicted_or_nothing_there():
    region_map = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]])
    nothing = _gt([], [], [])
    named = name_by_match(_pred([], []), EMPTY, _gt([1], [0], [2]), region_map)
    assert named.fine_labels.shape == (0,)
    assert named.fine_labels.dtype == torch.int64
    assert _names(_pred([1], [0]), region_map, nothing, EMPTY) == [-1]
    assert _names(_pred([], []), EMPTY, nothing, EMPTY) == []


def _batch():
    return [_gt(ids, [0] * len(ids), ids) for ids in ([1, 2, 3, 4], [], [5, 6])]


def _ids(regions):
    return [region.ids.tolist() for region in regions]


@pytest.mark.parametrize('limit', [None, 6, 7])
def test_all_are_kept_where_the_limit_is_not_exceeded(limit):
    assert _ids(draw_regions(_batch(), limit)) == [[1, 2, 3, 4], [], [5, 6]]


@pytest.mark.parametrize('limit', range(6))
def test_the_limit_is_one_for_the_whole_batch(limit):
    drawn = draw_regions(_batch(), limit)
    assert len(drawn) == 3
    assert sum(len(region) for region in drawn) == limit
    for kept, region in zip(drawn, _batch()):
        assert kept.ids.tolist() == [i for i in region.ids.tolist() if i in kept.ids.tolist()]  # in the old order
        assert kept.fine_labels.tolist() == kept.ids.tolist()  # fields stay together


def test_every_region_is_drawn_equally_often():
    counts = torch.zeros(7)
    for _ in range(600):
        for region in draw_regions(_batch(), 2):
            counts[region.ids] += 1
    # 200 expected of each; the standard deviation of such a count is 11.5.
    assert counts[0] == 0
    assert ((counts[1:] - 200).abs() < 60).all()


@pytest.mark.parametrize(('limit', 'labelled'), [(0, 0), (1, 1), (2, 2), (3, 2), (5, 2), (6, 2)])
def test_regions_with_a_fine_label_are_drawn_first(limit, labelled):
    batch = [_gt([1, 2, 3, 4], [0] * 4, [-1, -1, 7, -1]), _gt([5, 6], [0] * 2, [8, -1])]
    for _ in range(20):
        drawn = draw_regions(batch, limit)
        assert sum(len(region) for region in drawn) == limit
        assert sum(int((region.fine_labels >= 0).sum()) for region in drawn) == labelled


def test_a_batch_without_regions():
    assert _ids(draw_regions([_gt([], [], []), _gt([], [], [])], 1)) == [[], []]
    assert draw_regions([], 1) == []
