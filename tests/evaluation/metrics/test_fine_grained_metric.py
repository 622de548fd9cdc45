"""FineGrainedMetric, against answers by hand, mmseg's IoUMetric, and itself in two processes."""

import math
import warnings

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from deepunetto_mm.evaluation import FineGrainedMetric
from deepunetto_mm.registry import METRICS

TAXONOMY = dict(
    classes=['sky', 'cytoplasm', 'nucleus', 'disk'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['eosinophil', 'basophil']),
        dict(name='disk', members=['disk'], fine_classes=['red', 'green', 'blue']),
    ],
)
CELL, DISK = 0, 1
EOSINOPHIL, BASOPHIL, RED, GREEN, BLUE = range(5)
SEGMENTATION_CLASS = {CELL: 1, DISK: 3}
ORACLE_KEY = 'fine/oracle_top1'
KEYS = {
    'fine/recognition',
    'fine/mean_class',
    'fine/top1',
    'fine/top5',
    'fine/found',
    'fine/precision',
    'fine/mask_IoU',
    'fine/PQ',
    'composed/mIoU',
}


def grid(rows):
    """A map from its rows of digits: ``grid('110 110')``."""
    return np.array([[int(digit) for digit in row] for row in rows.split()], np.int64)


def make_sample(gt, gt_regions, pred, pred_regions, gt_sem_seg=None, pred_fine_seg=None, oracle=None):
    """A data sample as the evaluator gets it.

    Args:
        gt: Region map. Its class follows from the regions unless ``gt_sem_seg`` says otherwise.
        gt_regions: Group and fine label of each id.
        pred, pred_regions: The same of the prediction; instead of a label there may be a list of K scores.
        oracle: Scores of each ground-truth region.
    """
    gt, pred = (grid(m) if isinstance(m, str) else m for m in (gt, pred))
    classes, composed = np.zeros_like(gt), np.zeros_like(pred)
    for id_, (group, _) in gt_regions.items():
        classes[gt == id_] = SEGMENTATION_CLASS[group]
    fine_scores = torch.zeros(len(pred_regions), 5)
    for row, (id_, (_, fine)) in enumerate(pred_regions.items()):
        fine_scores[row] = torch.eye(5)[fine] if isinstance(fine, int) else torch.tensor(fine)
        composed[pred == id_] = 1 + int(fine_scores[row].argmax())

    def pixels(array):
        return PixelData(data=torch.from_numpy(grid(array) if isinstance(array, str) else array)[None])

    def ids_and_groups(regions):
        return dict(
            ids=torch.tensor(list(regions), dtype=torch.long),
            labels=torch.tensor([group for group, _ in regions.values()], dtype=torch.long),
        )

    sample = SegDataSample(metainfo=dict(img_path='scan/017.png'))
    sample.gt_sem_seg = pixels(classes if gt_sem_seg is None else gt_sem_seg)
    sample.gt_region_map, sample.pred_region_map = pixels(gt), pixels(pred)
    sample.pred_fine_seg = pixels(composed if pred_fine_seg is None else pred_fine_seg)
    sample.gt_regions = InstanceData(
        **ids_and_groups(gt_regions),
        fine_labels=torch.tensor([fine for _, fine in gt_regions.values()], dtype=torch.long),
    )
    sample.pred_regions = InstanceData(
        **ids_and_groups(pred_regions), fine_labels=fine_scores.argmax(1), fine_scores=fine_scores
    )
    if oracle is not None:
        sample.gt_regions.oracle_scores = torch.tensor(oracle, dtype=torch.float32).reshape(-1, 5)
    return sample


def evaluate(*samples, **options):
    """What the evaluator reports, with every warning an error."""
    evaluator = Evaluator(dict(type='deepunetto_mm.FineGrainedMetric', **options))
    evaluator.dataset_meta = dict(taxonomy=TAXONOMY)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for sample in samples:
            evaluator.process([sample])
        return evaluator.evaluate(len(samples))


def undefined(scores):
    return {key for key, value in scores.items() if math.isnan(value)}


TWO = '1100 1100 0022 0022'
TWO_REGIONS = {1: (CELL, BASOPHIL), 2: (DISK, RED)}


def test_everything_right():
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS))
    assert scores == dict.fromkeys(KEYS, 100.0)


def test_ids_and_their_order_mean_nothing():
    pred, swapped = '9900 9900 0044 0044', {9: (CELL, BASOPHIL), 4: (DISK, RED)}
    assert evaluate(make_sample(TWO, TWO_REGIONS, pred, swapped)) == dict.fromkeys(KEYS, 100.0)


def test_a_miss_is_an_error_of_recognition_and_not_of_top1():
    scores = evaluate(make_sample(TWO, TWO_REGIONS, '1100 1100 0000 0000', {1: (CELL, BASOPHIL)}))
    assert scores['fine/recognition'] == scores['fine/found'] == scores['fine/mean_class'] == 50
    assert scores['fine/top1'] == scores['fine/precision'] == 100
    assert scores['fine/PQ'] == 50  # basophil 1, red 0
    # Sky: 8 of 12 pixels; basophil: 4 of 4; red: 0 of 4; the others occur nowhere.
    assert scores['composed/mIoU'] == round(100 * (8 / 12 + 1 + 0) / 3, 2)


def test_a_wrong_name():
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, {1: (CELL, EOSINOPHIL), 2: (DISK, RED)}))
    assert scores['fine/found'] == scores['fine/precision'] == 100
    assert scores['fine/recognition'] == scores['fine/top1'] == scores['fine/mean_class'] == 50
    assert scores['fine/PQ'] == 33.33  # red 1; basophil 0 for a miss, eosinophil 0 for a false alarm
    assert scores['composed/mIoU'] == 50  # sky 1, red 1, eosinophil 0, basophil 0


def test_a_region_of_another_group_is_no_match():
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, {1: (DISK, GREEN), 2: (DISK, RED)}))
    assert scores['fine/found'] == scores['fine/precision'] == scores['fine/recognition'] == 50
    assert scores['fine/top1'] == 100


def test_an_iou_of_one_half_is_no_match():
    gt, regions = '1100 1100 0000 0000', {1: (DISK, RED)}
    half = evaluate(make_sample(gt, regions, '1111 1111 0000 0000', regions))  # 4 of 8
    assert half['fine/found'] == half['fine/recognition'] == half['fine/precision'] == half['fine/PQ'] == 0
    assert half['fine/top1'] == half['fine/top5'] == half['fine/mask_IoU'] == 0
    assert not undefined(half)
    more = evaluate(make_sample(gt, regions, '1111 1110 0000 0000', regions))  # 4 of 7
    assert more['fine/found'] == more['fine/recognition'] == 100
    assert more['fine/PQ'] == more['fine/mask_IoU'] == round(100 * 4 / 7, 2)


def test_nothing_found_is_bad_and_nothing_annotated_is_undefined():
    nothing = evaluate(make_sample(TWO, TWO_REGIONS, '0000 0000 0000 0000', {}))
    rest = {'fine/found', 'fine/recognition', 'fine/top1', 'fine/top5', 'fine/precision', 'fine/mask_IoU', 'fine/PQ'}
    assert {nothing[key] for key in rest} == {0}
    empty = evaluate(make_sample('0000 0000 0000 0000', {}, '0000 0000 0000 0000', {}))
    assert undefined(empty) == {*rest, 'fine/mean_class'}
    # A region without a name: found is defined, what is told of names is not.
    unnamed = evaluate(make_sample('1100 1100 0000 0000', {1: (DISK, -1)}, '0000 0000 0000 0000', {}))
    assert unnamed['fine/mask_IoU'] == unnamed['fine/precision'] == 0
    assert {'fine/top1', 'fine/top5'} <= undefined(unnamed)


def test_masks_are_judged_whatever_their_name():
    gt, pred = '1111 1111 0022 0022', '1111 1100 0222 0022'
    regions = {1: (DISK, RED), 2: (DISK, -1)}
    scores = evaluate(make_sample(gt, regions, pred, {1: (DISK, GREEN), 2: (DISK, BLUE)}))
    assert scores['fine/mask_IoU'] == round(100 * (6 / 8 + 4 / 5) / 2, 2)  # a wrong name, and one that nobody knows
    assert scores['fine/recognition'] == 0


def test_two_predictions_on_one_region():
    gt = '111111 ' * 2 + '000000 ' * 4
    pred = '111122 ' * 2 + '000000 ' * 4
    scores = evaluate(make_sample(gt, {1: (DISK, RED)}, pred, {1: (DISK, RED), 2: (DISK, GREEN)}))
    assert scores['fine/found'] == scores['fine/recognition'] == 100
    assert scores['fine/precision'] == 50
    # Red: one match of 8 / 12, green: one false positive.
    assert scores['fine/PQ'] == round(100 * (8 / 12 + 0) / 2, 2)


def test_an_unknown_fine_label_counts_as_found_and_for_no_name():
    pred = {1: (CELL, BASOPHIL), 2: (DISK, GREEN)}
    scores = evaluate(make_sample(TWO, {1: (CELL, BASOPHIL), 2: (DISK, -1)}, TWO, pred))
    # The green one lies on void alone in panoptic quality and composed maps.
    assert scores == dict.fromkeys(KEYS, 100.0)
    missed = evaluate(make_sample(TWO, {1: (CELL, BASOPHIL), 2: (DISK, -1)}, '1100 1100 0000 0000', {1: pred[1]}))
    assert missed['fine/found'] == 50
    assert missed['fine/recognition'] == missed['fine/PQ'] == missed['composed/mIoU'] == 100


def test_no_annotated_region_at_all():
    regions = {1: (CELL, -1), 2: (DISK, -1)}
    scores = evaluate(make_sample(TWO, regions, TWO, TWO_REGIONS, oracle=np.eye(5)[:2]))
    assert undefined(scores) == {'fine/recognition', 'fine/mean_class', 'fine/top1', 'fine/top5', 'fine/PQ', ORACLE_KEY}
    assert scores['fine/found'] == scores['fine/precision'] == 100


def test_pictures_without_regions():
    empty = '0000 0000 0000 0000'
    scores = evaluate(make_sample(empty, {}, empty, {}), make_sample(empty, {}, empty, {}, oracle=[]))
    assert undefined(scores) == KEYS - {'composed/mIoU'} | {ORACLE_KEY}
    assert scores['composed/mIoU'] == 100
    # Beside a picture with regions they change nothing but the pixels of the sky.
    assert evaluate(
        make_sample(empty, {}, empty, {}), make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS)
    ) == dict.fromkeys(KEYS, 100.0)


def test_false_alarms_in_an_empty_picture():
    scores = evaluate(make_sample('0000 0000 0000 0000', {}, TWO, TWO_REGIONS))
    assert scores['fine/precision'] == scores['fine/PQ'] == 0
    assert 'fine/found' in undefined(scores)


def test_nothing_to_score():
    scores = evaluate(make_sample('00 00', {}, '11 11', {1: (DISK, RED)}, gt_sem_seg=np.full((2, 2), 255)))
    assert undefined(scores) == KEYS


def test_ignored_pixels_are_left_out_of_masks():
    # The prediction spills over onto ignored pixels only: a perfect match.
    sem = grid('3300 3300 0000 0000')
    sem[:2, 2:] = 255
    regions = {1: (DISK, RED)}
    assert evaluate(
        make_sample('1100 1100 0000 0000', regions, '1111 1111 0000 0000', regions, gt_sem_seg=sem)
    ) == dict.fromkeys(KEYS, 100.0)
    # Ignored pixels inside a true region do not belong to it: 2 pixels of it are left.
    sem[:2, 1] = 255
    assert evaluate(
        make_sample('1100 1100 0000 0000', regions, '1000 1000 0000 0000', regions, gt_sem_seg=sem)
    ) == dict.fromkeys(KEYS, 100.0)


def test_a_true_region_that_is_ignored_altogether_does_not_count():
    sem = grid('3300 3300 0011 0011')
    sem[:2, :2] = 255
    scores = evaluate(
        make_sample(
            '1100 1100 0022 0022',
            {1: (DISK, RED), 2: (CELL, BASOPHIL)},
            '0000 0000 0022 0022',
            {2: (CELL, BASOPHIL)},
            gt_sem_seg=sem,
        )
    )
    assert scores == dict.fromkeys(KEYS, 100.0)


@pytest.mark.parametrize(('ignored', 'precision'), [(2, 50), (3, 100)])
def test_predictions_mostly_on_ignored_pixels_are_no_errors(ignored, precision):
    sem = grid('0000 0000 0033 0033')
    sem[0, :ignored] = 255
    scores = evaluate(
        make_sample(
            '0000 0000 0022 0022',
            {2: (DISK, RED)},
            '1111 0000 0022 0022',
            {1: (CELL, BASOPHIL), 2: (DISK, RED)},
            gt_sem_seg=sem,
        )
    )
    assert scores['fine/precision'] == scores['fine/PQ'] == precision


def test_pixels_of_a_group_outside_every_region_are_void():
    # Someone saw cells at the left, and did not tell them apart.
    sem = grid('1100 1100 0033 0033')
    pred = {1: (CELL, BASOPHIL), 2: (DISK, RED)}
    scores = evaluate(make_sample('0000 0000 0022 0022', {2: (DISK, RED)}, TWO, pred, gt_sem_seg=sem))
    assert scores == dict.fromkeys(KEYS, 100.0)


def test_padding_is_no_region():
    gt = grid(TWO)
    gt[:, 3] = 255
    sem = grid('1100 1100 0033 0033')
    sem[:, 3] = 255
    assert evaluate(make_sample(gt, TWO_REGIONS, TWO, TWO_REGIONS, gt_sem_seg=sem)) == dict.fromkeys(KEYS, 100.0)


def test_unnamed_pixels_miss_their_class():
    named = grid('2200 2200 0033 0033')
    named[:2, :2] = 255
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS, pred_fine_seg=named))
    assert scores['composed/mIoU'] == round(100 * (1 + 0 + 1) / 3, 2)


def test_top5_of_five_and_oracle():
    # Five fine classes: the five best hold the right one always, the best does in one of two.
    pred = {1: (CELL, [0.6, 0.4, 0, 0, 0]), 2: (DISK, [0, 0, 0.5, 0.3, 0.2])}
    oracle = [[0.6, 0.4, 0, 0, 0], [0, 0, 0.1, 0.8, 0.1]]
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, pred, oracle=oracle))
    assert (scores['fine/top1'], scores['fine/top5'], scores[ORACLE_KEY]) == (50, 100, 0)


def test_oracle_counts_regions_that_were_not_found():
    gt = {1: (CELL, BASOPHIL), 2: (DISK, -1)}
    oracle = [[0.4, 0.6, 0, 0, 0], [0, 0, 0.1, 0.8, 0.1]]
    scores = evaluate(make_sample(TWO, gt, '0000 0000 0000 0000', {}, oracle=oracle))
    assert (scores['fine/recognition'], scores[ORACLE_KEY]) == (0, 100)


def test_top5_of_more_classes():
    fine = [f'c{k}' for k in range(7)]
    taxonomy = dict(classes=['sky', 'disk'], groups=[dict(name='disk', members=['disk'], fine_classes=fine)])
    scores = torch.tensor([[0.30, 0.20, 0.15, 0.12, 0.10, 0.08, 0.05]] * 3)
    sample = make_sample('123', dict.fromkeys((1, 2, 3), (CELL, -1)), '123', dict.fromkeys((1, 2, 3), (CELL, 0)))
    sample.gt_regions.fine_labels = torch.tensor([0, 4, 5])
    sample.pred_regions.fine_scores, sample.pred_regions.fine_labels = scores, scores.argmax(1)
    metric = FineGrainedMetric()
    metric.dataset_meta = dict(taxonomy=taxonomy)
    metric.process(None, [sample.to_dict()])
    result = metric.evaluate(1)
    assert (result['fine/top1'], result['fine/top5']) == (33.33, 66.67)


def test_mean_class_weighs_classes_alike():
    # Red: 2 of 2, green: 0 of 1, over two pictures.
    first = make_sample('1010 0000', {1: (DISK, RED)}, '1010 0000', {1: (DISK, RED)})
    second = make_sample(
        '1020 0000', {1: (DISK, RED), 2: (DISK, GREEN)}, '1020 0000', {1: (DISK, RED), 2: (DISK, BLUE)}
    )
    scores = evaluate(first, second)
    assert (scores['fine/recognition'], scores['fine/mean_class']) == (66.67, 50)


def test_prefix_is_put_before_the_keys():
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS), prefix='night')
    assert set(scores) == {f'night/{key}' for key in KEYS}


def test_half_precision_scores():
    sample = make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS)
    sample.pred_regions.fine_scores = sample.pred_regions.fine_scores.bfloat16()
    assert evaluate(sample) == dict.fromkeys(KEYS, 100.0)


def random_sample(seed):
    """A picture with up to five regions, predictions near them or not, ignored pixels and unknown labels."""
    rng = np.random.default_rng(seed)
    gt = np.zeros((12, 14), np.int64)
    regions = {}
    for id_ in range(1, rng.integers(1, 7)):
        y, x = rng.integers(0, 10, 2)
        gt[y : y + rng.integers(2, 6), x : x + rng.integers(2, 6)] = id_
        group = int(rng.integers(0, 2))
        regions[id_] = (group, int(rng.choice([-1, 0, 1] if group == CELL else [-1, 2, 3, 4])))
    pred = np.where(rng.random(gt.shape) < 0.1, 0, gt)
    pred = np.where(rng.random() < 0.3, np.roll(pred, 1, axis=1), pred)
    named = {id_: (group, rng.dirichlet(np.ones(5)).tolist()) for id_, (group, _) in regions.items()}
    sample = make_sample(gt, regions, pred, named, oracle=rng.random((len(regions), 5)))
    sample.gt_sem_seg.data[:, rng.random(gt.shape) < 0.05] = 255
    sample.pred_fine_seg.data[:, rng.random(gt.shape) < 0.05] = 255
    return sample


def test_composed_miou_agrees_with_mmseg():
    theirs = IoUMetric()
    composed = ['sky', 'eosinophil', 'basophil', 'red', 'green', 'blue']
    theirs.dataset_meta = dict(classes=composed)
    samples = [random_sample(seed) for seed in range(20)]
    for sample in samples:
        truth = torch.where(sample.gt_sem_seg.data == 0, 0, 255)
        for id_, fine in zip(sample.gt_regions.ids, sample.gt_regions.fine_labels, strict=True):
            region = sample.gt_region_map.data == id_
            truth[region & (sample.gt_sem_seg.data != 255)] = 1 + fine if fine >= 0 else 255
        theirs.process(None, [dict(pred_sem_seg=sample.pred_fine_seg.to_dict(), gt_sem_seg=dict(data=truth))])
    assert evaluate(*samples)['composed/mIoU'] == pytest.approx(float(theirs.evaluate(20)['mIoU']), abs=0.01)


def test_order_of_pictures_means_nothing():
    samples = [random_sample(seed) for seed in range(40)]
    assert evaluate(*samples) == evaluate(*samples[1::2], *samples[::2])


def test_two_processes_report_what_one_does(evaluate_in_two_processes):
    samples = [random_sample(seed) for seed in range(7)]
    one = evaluate(*samples)
    assert not undefined(one)
    assert evaluate_in_two_processes('FineGrainedMetric', dict(taxonomy=TAXONOMY), samples) == [one, one]


def test_one_record_a_picture():
    metric = METRICS.build(dict(type='FineGrainedMetric'))
    metric.dataset_meta = dict(taxonomy=TAXONOMY)
    samples = [make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS), make_sample('00 00', {}, '00 00', {})]
    metric.process(None, [sample.to_dict() for sample in samples])
    assert len(metric.results) == 2
    counts = [array for record in metric.results for array in record.values() if isinstance(array, np.ndarray)]
    assert all(array.dtype == np.int64 for array in counts)


def test_the_composed_map_is_taken_as_annotated():
    """Disks at the left, not told apart: void to the regions, a red disk each to the composed map."""
    sem = grid('3300 3300 0000 0000')
    sample = make_sample('0000 0000 0000 0000', {}, '1000 0000 0000 0000', {1: (DISK, RED)}, gt_sem_seg=sem)
    assert evaluate(sample)['composed/mIoU'] == 100
    fine = grid('3300 3300 0000 0000')  # red
    fine[3] = 255
    sample.set_data(dict(gt_fine_seg=PixelData(data=torch.from_numpy(fine)[None])))
    # Red: 1 of 4 pixels; sky: 8 of 8 + 3, its last row ignored.
    assert evaluate(sample)['composed/mIoU'] == round(100 * (1 / 4 + 8 / 11) / 2, 2)


COLOURS = dict(warm=['red'], cold=['green', 'blue'])


def test_a_category_is_one_class():
    gt = {1: (CELL, BASOPHIL), 2: (DISK, GREEN)}
    sample = make_sample(TWO, gt, '1100 1100 0022 0021', {1: (CELL, BASOPHIL), 2: (DISK, BLUE)})
    scores = evaluate(sample, categories=COLOURS)
    # Green and blue alike: 3 of 4 pixels. Sky and cells are in no category; red occurs nowhere.
    assert scores['composed/category_mIoU'] == 75
    assert scores['composed/mIoU'] == round(100 * (1 + 4 / 5 + 0 + 0) / 4, 2)
    assert set(scores) == KEYS | {'composed/category_mIoU'}
    # What is in no category is a false alarm where a category is predicted.
    wrong = make_sample(TWO, {1: (CELL, BASOPHIL), 2: (DISK, GREEN)}, TWO, {1: (DISK, BLUE), 2: (DISK, GREEN)})
    assert evaluate(wrong, categories=COLOURS)['composed/category_mIoU'] == 50


def test_categories_that_contradict():
    for wrong in (dict(warm=[]), dict(warm=['red'], cold=['blue', 'red'])):
        with pytest.raises(ValueError, match='every category needs a class, and no class may have two'):
            FineGrainedMetric(categories=wrong)
    with pytest.raises(ValueError, match=r"category 'warm' has \['orange'\], which are not classes; those are \['sky'"):
        evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS), categories=dict(warm=['orange']))


def test_table_and_confusion_matrix(tmp_path, monkeypatch):
    printed, drawn = [], []
    module = 'deepunetto_mm.evaluation.metrics.fine_grained_metric'
    monkeypatch.setattr(f'{module}.print_log', lambda text, logger: printed.append(text))
    monkeypatch.setattr(f'{module}.draw_confusion_matrix', lambda *args: drawn.append(args))
    path = str(tmp_path / 'confusion.png')
    evaluate(
        make_sample(TWO, TWO_REGIONS, '1100 1130 0000 0000', {1: (CELL, EOSINOPHIL), 3: (DISK, BLUE)}),
        make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS),
        confusion_matrix=path,
    )
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in printed[0].splitlines() if '|' in line]
    assert rows == [
        ['class', 'group', 'regions', 'found', 'recognition', 'top1', 'PQ', 'IoU'],
        ['sky', '-', '-', '-', '-', '-', '-', '75.00'],  # 7 + 8 pixels of 12 + 8
        ['eosinophil', 'cell', '0', '-', '-', '-', '0.00', '0.00'],
        ['basophil', 'cell', '2', '100.00', '50.00', '50.00', '66.67', '50.00'],
        ['red', 'disk', '2', '50.00', '50.00', '100.00', '66.67', '50.00'],
        ['green', 'disk', '0', '-', '-', '-', '-', '-'],
        ['blue', 'disk', '0', '-', '-', '-', '0.00', '0.00'],
    ]
    confusion, names, written = drawn[0]
    expected = np.zeros((6, 6), int)
    expected[BASOPHIL, EOSINOPHIL] = expected[BASOPHIL, BASOPHIL] = expected[RED, RED] = 1
    expected[RED, -1] = 1  # not found
    expected[-1, BLUE] = 1  # no region there
    assert confusion.tolist() == expected.tolist()
    assert (names, written) == (('eosinophil', 'basophil', 'red', 'green', 'blue'), path)


def test_figures_by_class():
    metric = FineGrainedMetric(prefix='val')
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(taxonomy=TAXONOMY)
    wrong = make_sample(TWO, TWO_REGIONS, '1100 1130 0000 0000', {1: (CELL, EOSINOPHIL), 3: (DISK, BLUE)})
    evaluator.process([wrong, make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS)])
    evaluator.evaluate(2)
    assert metric.by_class['sky'] == {'group': None, 'regions': 0, 'val/composed/IoU': 75.0}
    assert metric.by_class['basophil'] == {
        'group': 'cell',
        'regions': 2,
        'val/fine/found': 100.0,
        'val/fine/recognition': 50.0,
        'val/fine/top1': 50.0,
        'val/fine/PQ': 66.67,
        'val/composed/IoU': 50.0,
    }
    assert math.isnan(metric.by_class['green']['val/fine/found'])
    assert list(metric.by_class) == ['sky', 'eosinophil', 'basophil', 'red', 'green', 'blue']


def test_figures_are_kept_if_the_matrix_cannot_be_drawn(tmp_path, monkeypatch):
    module, printed = 'deepunetto_mm.evaluation.metrics.fine_grained_metric', []
    monkeypatch.setattr(f'{module}.print_log', lambda text, *args, **options: printed.append(text))

    def fail(*args):
        raise MemoryError('of the picture')

    monkeypatch.setattr(f'{module}.draw_confusion_matrix', fail)
    path = str(tmp_path / 'confusion.png')
    scores = evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS), confusion_matrix=path)
    assert scores['fine/recognition'] == 100
    assert 'fine/recognition 100.00' in printed[0]
    assert printed[1] == f'{path} not written: MemoryError: of the picture'


def test_confusion_matrix_is_written(tmp_path):
    evaluate(make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS), confusion_matrix=str(tmp_path / 'new' / 'c.PNG'))
    assert (tmp_path / 'new' / 'c.PNG').read_bytes().startswith(b'\x89PNG')


def test_confusion_matrix_must_be_a_png():
    with pytest.raises(ValueError, match=r"confusion_matrix='confusion.txt': use a file name that ends in '.png'"):
        FineGrainedMetric(confusion_matrix='confusion.txt')


@pytest.mark.parametrize(
    ('field', 'fix'),
    [
        ('gt_regions', 'PackRegionInputs'),
        ('gt_sem_seg', 'LoadAnnotations'),
        ('pred_regions', 'DeepUNetto'),
        ('pred_fine_seg', 'DeepUNetto'),
    ],
)
def test_a_missing_field_is_named_with_its_picture(field, fix):
    sample = make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS)
    delattr(sample, field)
    with pytest.raises(ValueError, match=f'scan/017.png: the data sample has no {field!r}; .*{fix}'):
        evaluate(sample)


@pytest.mark.parametrize(
    ('field', 'change', 'message'),
    [
        ('gt_regions', dict(labels=torch.tensor([0, 2])), r'gt_regions.labels must be from 0 to 1 .* got \[0, 2\]'),
        ('gt_regions', dict(fine_labels=torch.tensor([5, 0])), r'gt_regions.fine_labels must be from -1 to 4'),
        ('gt_regions', dict(ids=torch.tensor([1, 3])), r'gt_region_map: ids \[2\] are in the map but not in the list'),
        (
            'gt_regions',
            dict(oracle_scores=torch.rand(2, 4)),
            r'gt_regions.oracle_scores must have a column .* \(2, 4\)',
        ),
        ('pred_regions', dict(fine_labels=torch.tensor([-1, 0])), r'pred_regions.fine_labels must be from 0 to 4'),
        ('pred_regions', dict(fine_scores=torch.rand(2, 3)), r'pred_regions.fine_scores must have a column'),
        ('gt_sem_seg', dict(data=torch.full((1, 4, 4), 4)), r'gt_sem_seg: labels \[4\] are neither 0 to 3'),
        ('pred_fine_seg', dict(data=torch.full((1, 4, 4), 6)), r'pred_fine_seg: labels \[6\] are neither 0 to 5'),
    ],
)
def test_contradictions_name_the_picture_and_the_field(field, change, message):
    sample = make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS).to_dict()
    sample[field].update(change)
    with pytest.raises(ValueError, match=f'scan/017.png: {message}'):
        evaluate(sample)


def test_maps_of_different_sizes_name_the_picture():
    sample = make_sample(TWO, TWO_REGIONS, '1100 1100', {1: (CELL, BASOPHIL)})
    with pytest.raises(ValueError, match=r'scan/017.png: maps .* one shape, .*gt_sem_seg \(4, 4\).*pred_.* \(2, 4\)'):
        evaluate(sample)


def test_a_missing_taxonomy_is_named():
    metric = FineGrainedMetric()
    metric.dataset_meta = dict(classes=['sky'])
    with pytest.raises(ValueError, match="metainfo has no 'taxonomy'"):
        metric.process(None, [make_sample(TWO, TWO_REGIONS, TWO, TWO_REGIONS).to_dict()])
