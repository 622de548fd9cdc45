"""The counts of one picture, against answers by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality

from deepunetto_mm.evaluation.counting import (
    count_panoptic,
    count_pixels,
    encode_labels,
    false_alarms,
    number_categories,
    panoptic_quality,
    rank_labels,
)
from deepunetto_mm.ops import count_overlaps, match_regions


@pytest.mark.parametrize('ignore_index', [255, -1])
def test_ignored_pixels_get_the_first_free_label(ignore_index):
    assert encode_labels(np.array([[0, 2, ignore_index]]), 3, ignore_index).tolist() == [[0, 2, 3]]


def test_labels_fit_when_the_map_is_of_bytes():
    # 18 * 19 does not fit into a byte: joint codes of uint8 maps would wrap around.
    codes = encode_labels(np.full((2, 2), 18, np.uint8), 19, 255)
    assert count_pixels(codes, codes, 19)[:, 18].tolist() == [4, 4, 4]


@pytest.mark.parametrize('label', [-2, 3, 254])
def test_a_label_out_of_range_is_refused(label):
    with pytest.raises(ValueError, match=rf'labels \[{label}\] are neither 0 to 2 nor ignore_index 255'):
        encode_labels(np.array([[0, label, 255]]), 3, 255)


@pytest.mark.parametrize(('void', 'excused'), [(2, False), (3, True)])
def test_a_false_alarm_is_excused_on_void_by_more_than_half(void, excused):
    gt = np.zeros((1, 6), np.int64)
    gt[0, :void] = 1  # no region, so that 1 is void
    overlaps = count_overlaps(gt, np.array([[1, 1, 1, 1, 0, 0]]), 0, 1)
    nothing = match_regions(overlaps, np.zeros(0, bool), overlaps.pred_void)
    assert false_alarms(overlaps, nothing, overlaps.pred_void).tolist() == [not excused]


def test_a_predicted_region_without_a_pixel_is_no_false_alarm():
    overlaps = count_overlaps(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64), 0, 1)
    nothing = match_regions(overlaps, np.zeros(0, bool), overlaps.pred_void)
    assert false_alarms(overlaps, nothing, overlaps.pred_void).tolist() == [False]


def test_pixels_are_counted_by_class():
    gt = np.array([[0, 0, 1], [1, 2, 2]])  # of two classes, 2 to ignore
    pred = np.array([[0, 1, 1], [2, 0, 2]])  # 2 got no name
    assert count_pixels(gt, pred, 2).tolist() == [[1, 1], [2, 2], [1, 2]]


def test_categories_are_numbered():
    numbers = number_categories(['sky', 'car', 'bus', 'dog'], dict(vehicle=['bus', 'car'], animal=['dog']))
    assert numbers.tolist() == [2, 0, 0, 1, 3]
    with pytest.raises(
        ValueError, match=r"category 'animal' has \['cat'\], which are not classes; those are \['dog'\]"
    ):
        number_categories(['dog'], dict(animal=['dog', 'cat']))


def test_ranks():
    scores = np.array(
        [[0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.2, 0.4, 0.4], [0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [np.nan] * 3]
    )
    assert rank_labels(scores, np.array([1, 0, 2, 0, -1, 0])).tolist() == [0, 2, 1, 0, -1, 3]
    assert rank_labels(None, np.array([1, 0])).tolist() == [-1, -1]
    assert rank_labels(np.zeros((0, 3)), np.zeros(0, np.int64)).tolist() == []


def test_panoptic_quality_of_nothing_is_undefined():
    assert np.isnan(panoptic_quality(np.zeros((0, 3), np.int64), np.zeros((2, 2), np.int64))).all()


def _blobs(rng, shape, count):
    """A map of up to ``count`` regions: rectangles, some of which cover others."""
    codes = np.zeros(shape, np.int64)
    for number in range(1, count + 1):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        codes[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = number
    return codes


@pytest.mark.parametrize('seed', range(8))
def test_panoptic_quality_agrees_with_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    num_fine, stuff, unknown = 3, 3, 9
    theirs = PanopticQuality(things=set(range(num_fine)), stuffs={stuff}, return_per_class=True)
    hits, errors = [], np.zeros((2, num_fine), np.int64)
    for case in range(25):
        gt_count, pred_count = rng.integers(0, 6, 2) * (case > 0)  # the first picture is empty
        gt = _blobs(rng, (9, 8), gt_count)
        # Half of the predictions are the truth with a region cut, so that there are matches.
        pred = np.where(rng.random(gt.shape) < 0.1, 0, gt) if case % 2 else _blobs(rng, gt.shape, pred_count)
        pred_count = gt_count if case % 2 else pred_count
        gt_fine, pred_fine = rng.integers(-1, num_fine, gt_count), rng.integers(0, num_fine, pred_count)
        if case % 4 == 1:
            pred_fine = np.where(gt_fine < 0, 0, gt_fine)
        gt[rng.random(gt.shape) < rng.choice([0, 0.2])] = gt_count + 1

        result = count_panoptic(count_overlaps(gt, pred, gt_count, pred_count), gt_fine, pred_fine, num_fine)
        hits.append(result[0])
        errors += result[1]
        gt_category = np.concatenate([[stuff], np.where(gt_fine < 0, unknown, gt_fine), [unknown]])[gt]
        pred_category = np.concatenate([[stuff], pred_fine])[pred]
        theirs.update(
            torch.from_numpy(np.stack([pred_category, pred], -1))[None],
            torch.from_numpy(np.stack([gt_category, gt], -1))[None],
        )
    hits = np.concatenate(hits)
    assert min(len(hits), errors.min()) >= 3, 'the pictures must hold true and false positives and misses'
    # torchmetrics divides in float32.
    np.testing.assert_allclose(panoptic_quality(hits, errors), theirs.compute()[0, :num_fine].numpy(), rtol=1e-6)
    assert np.array_equal(np.bincount(hits[:, 0], minlength=num_fine), theirs.true_positives[:num_fine].numpy())
    assert np.array_equal(errors, np.stack([theirs.false_positives[:num_fine], theirs.false_negatives[:num_fine]]))
