import numpy as np
import pytest

from deepunetto_mm.ops import match_regions

GT = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 2], [0, 0, 0, 2]])


def _match(pred: np.ndarray, pred_labels: list[int], gt: np.ndarray = GT, gt_labels: tuple[int, ...] = (0, 0)) -> list[int]:
    ids = np.unique(pred[(pred > 0) & (pred != 255)])
    gt_ids = np.unique(gt[(gt > 0) & (gt != 255)])
    return match_regions(pred, ids, np.array(pred_labels), gt, gt_ids, np.array(gt_labels)).tolist()


def test_ids_need_not_agree():
    assert _match(np.select([GT == 1, GT == 2], [7, 3]), [0, 0]) == [1, 0]


def test_iou_of_one_half_is_no_match():
    half = np.where((GT == 2) & (np.arange(4)[:, None] < 2), 1, 0)  # 2 of 4 pixels: IoU 2/4
    assert _match(half, [0]) == [-1]
    three = np.where((GT == 2) & (np.arange(4)[:, None] < 3), 1, 0)  # 3/4
    assert _match(three, [0]) == [1]


def test_another_group_is_no_match():
    assert _match(GT, [0, 1]) == [0, -1]


def test_padding_is_no_region():
    pred = np.where(GT == 0, 255, GT)
    assert _match(pred, [0, 0]) == [0, 1]


@pytest.mark.parametrize('pred', [np.zeros((4, 4), int), GT])
def test_no_regions(pred):
    labels = [0] * len(np.unique(pred[pred > 0]))
    assert _match(pred, labels, np.zeros((4, 4), int), ()) == [-1] * len(labels)
