"""InstanceAP, against answers by hand, stardist.matching, and itself in two processes."""

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

TAXONOMY = dict(
    classes=['background', 'nucleus', 'dirt'],
    groups=[
        dict(name='nucleus', members=['nucleus'], fine_classes=['nucleus']),
        dict(name='dirt', members=['dirt'], fine_classes=['dirt']),
    ],
)
KEYS = [*(f'instance/AP{t}' for t in range(50, 100, 5)), 'instance/AP']


def make_sample(gt, pred, gt_labels=None, pred_labels=None, classes=None):
    """A data sample of two region maps, rows of digits or arrays; regions are nuclei unless labels say otherwise."""
    gt, pred = (np.array([[int(d) for d in row] for row in m.split()]) if isinstance(m, str) else m for m in (gt, pred))
    sample = SegDataSample(metainfo=dict(img_path='slide/3.png'))
    for name, region_map, labels in (('gt', gt, gt_labels), ('pred', pred, pred_labels)):
        ids = torch.from_numpy(np.setdiff1d(region_map, [0, 255])).long()
        labels = torch.zeros_like(ids) if labels is None else torch.tensor(labels)
        sample.set_data(
            {
                f'{name}_region_map': PixelData(data=torch.from_numpy(region_map)[None]),
                f'{name}_regions': InstanceData(ids=ids, labels=labels),
            }
        )
    sample.gt_sem_seg = PixelData(data=torch.from_numpy((gt > 0).astype(int) if classes is None else classes)[None])
    return sample


def evaluate(*samples, **options):
    evaluator = Evaluator(dict(type='deepunetto_mm.InstanceAP', **options))
    evaluator.dataset_meta = dict(taxonomy=TAXONOMY)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def _scene(seed, size=64):
    """Region maps of the same seeds of random colonies, and of some of them shifted, joined or lost."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    points = rng.uniform(0, size, (rng.integers(4, 30), 2))

    def colonies(points, reach):
        distance = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
        return np.where(distance.min(-1) < reach, distance.argmin(-1) + 1, 0)

    gt = colonies(points, 7)
    pred = colonies(points + rng.normal(0, 1.2, points.shape), 6.5)
    pred[pred == 1] = 2  # two are one
    pred[pred == 3] = 0  # one is missed
    return gt, pred


# stardist.matching.matching_dataset 0.9.2 of the scenes with the seeds 0 to 4, at each threshold: tp, fp, fn.
STARDIST = [
    (94, 10, 20),
    (88, 16, 26),
    (75, 29, 39),
    (65, 39, 49),
    (53, 51, 61),
    (40, 64, 74),
    (22, 82, 92),
    (7, 97, 107),
    (0, 104, 114),
    (0, 104, 114),
]


def test_stardist_counts_the_same():
    scores = evaluate(*(make_sample(*_scene(seed)) for seed in range(5)))
    assert list(scores) == KEYS
    expected = [round(100 * tp / (tp + fp + fn), 2) for tp, fp, fn in STARDIST]
    assert [scores[key] for key in KEYS[:-1]] == expected
    mean = np.mean([tp / (tp + fp + fn) for tp, fp, fn in STARDIST])
    assert scores['instance/AP'] == round(100 * mean, 2)


def test_by_hand():
    """IoU 3/4, a false alarm and a miss."""
    scores = evaluate(make_sample('1110022 1000000', '3330000 0000040'), thresholds=[0.5, 0.75, 0.8])
    assert scores == {'instance/AP50': 33.33, 'instance/AP75': 33.33, 'instance/AP80': 0, 'instance/AP': 22.22}
    assert evaluate(make_sample('1122', '1122'))['instance/AP95'] == 100


def test_objects_of_all_pictures_are_pooled():
    """Three of three objects here, none of one there: 3/5 and not the mean of 1 and 0."""
    whole = make_sample('10203', '10203')
    assert evaluate(whole, make_sample('1100', '0011'))['instance/AP'] == 60


@pytest.mark.parametrize(('gt', 'pred', 'found'), [('1111', '1122', 1 / 2), ('1122', '1111', 1 / 2)])
def test_one_partner_at_an_iou_of_exactly_a_half(gt, pred, found):
    scores = evaluate(make_sample(gt, pred))
    assert scores['instance/AP50'] == 100 * found
    assert scores['instance/AP55'] == 0


def test_another_group_is_no_partner():
    assert evaluate(make_sample('1122', '1122', pred_labels=[0, 1]))['instance/AP50'] == 33.33


def test_void_is_no_error():
    """Ignored pixels, and those of a nucleus that is in no region."""
    gt, pred = np.array([[1, 1, 1, 255, 0, 0, 0, 0]]), np.array([[1, 1, 1, 1, 0, 2, 2, 0]])
    classes = np.array([[1, 1, 1, 255, 0, 1, 1, 0]])
    assert evaluate(make_sample(gt, pred, classes=classes))['instance/AP95'] == 100
    pred[0, 4] = pred[0, 7] = 2  # half of it is not void: an error
    assert evaluate(make_sample(gt, pred, classes=classes))['instance/AP95'] == 50


def test_nothing():
    nothing = make_sample('000', '000')
    assert all(math.isnan(value) for value in evaluate(nothing).values())
    assert evaluate(nothing, make_sample('110', '110'))['instance/AP'] == 100
    assert evaluate(make_sample('000', '110'))['instance/AP'] == evaluate(make_sample('110', '000'))['instance/AP'] == 0


def test_two_processes_report_what_one_does(evaluate_in_two_processes):
    samples = [make_sample(*_scene(seed)) for seed in range(3)] + [make_sample('000', '000')]
    one = evaluate(*samples)
    assert evaluate_in_two_processes('InstanceAP', dict(taxonomy=TAXONOMY), samples) == [one, one]


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r'thresholds must be one or more numbers from 0.5 to 1, got \[0.4\]'):
        evaluate(thresholds=[0.4])
    sample = make_sample('110', '110')
    del sample.pred_regions
    with pytest.raises(ValueError, match="slide/3.png: the data sample has no 'pred_regions'; the model must write it"):
        evaluate(sample)
    with pytest.raises(ValueError, match='slide/3.png: maps of one picture must have one shape'):
        evaluate(make_sample('110', '1100'))
