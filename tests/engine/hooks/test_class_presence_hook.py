"""Why an IoU is 0 or nan."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from deepunetto_mm.engine import ClassPresenceHook

CLASSES = ('road', 'car', 'pole', 'sign', 'fence')


def _sample(truth, pred):
    sample = SegDataSample()
    for key, rows in (('gt_sem_seg', truth), ('pred_sem_seg', pred)):
        if rows is not None:
            sample.set_data({key: PixelData(data=torch.tensor([rows]))})
    return sample


SAMPLES = [
    _sample([[0, 0, 1], [255, 255, 0]], [[0, 0, 0], [4, 3, 2]]),
    _sample([[0, 4, 4]], [[0, 2, 2]]),
]
TOLD = [
    "IoU of 'car' is 0: it is in this split, but never predicted",
    "IoU of 'pole' is 0: no pixel of it in this split, but it is predicted. mIoU includes the 0",
    "IoU of 'sign' is nan: no pixel of it in this split. mIoU leaves it out",
    "IoU of 'fence' is 0: it is in this split, but never predicted",
]


@pytest.fixture
def runner():
    said = []
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=CLASSES)))
    return SimpleNamespace(
        val_dataloader=loader, test_dataloader=loader, logger=SimpleNamespace(info=said.append), said=said
    )


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_distinguishes_the_three_cases(runner, stage):
    hook = ClassPresenceHook()
    for index, sample in enumerate(SAMPLES):
        getattr(hook, f'after_{stage}_iter')(runner, index, None, [sample])
    getattr(hook, f'after_{stage}_epoch')(runner, {})
    assert runner.said == TOLD


def test_agrees_with_mmsegs_metric():
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, [sample.to_dict() for sample in SAMPLES])
    ious = np.round(metric.total_area_to_metrics(*map(sum, zip(*metric.results)), ['mIoU'])['IoU'], 4)
    told = {line.split("'")[1]: line.split(' is ')[1].split(':')[0] for line in TOLD}
    assert [told.get(name, 'more') for name in CLASSES] == ['more', '0', '0', 'nan', '0']
    np.testing.assert_array_equal(ious[1:], [0, 0, np.nan, 0])
    # 3 pixels of 4 are found, and one more is called so. Classic mmsegmentation computes in float32.
    assert ious[0] == ious.dtype.type(0.6)


def test_a_second_validation_begins_at_zero(runner):
    hook = ClassPresenceHook()
    for sample in SAMPLES:
        hook.after_val_iter(runner, 0, None, [sample])
    hook.after_val_epoch(runner)
    runner.said.clear()
    hook.after_val_iter(runner, 0, None, [_sample([[0, 1, 2, 3, 4]], [[0, 1, 2, 3, 4]])])
    hook.after_val_epoch(runner)
    assert runner.said == []


@pytest.mark.parametrize('dataset', [SimpleNamespace(), SimpleNamespace(metainfo=None), SimpleNamespace(metainfo={})])
def test_datasets_without_classes(runner, dataset):
    runner.val_dataloader.dataset = dataset
    hook = ClassPresenceHook()
    hook.after_val_iter(runner, 0, None, [SAMPLES[0], torch.zeros(3)])
    hook.after_val_epoch(runner)
    assert runner.said == []


def test_samples_of_other_kinds(runner):
    hook = ClassPresenceHook()
    hook.after_val_iter(runner, 0, None, [torch.zeros(3), SAMPLES[0], dict(gt_sem_seg=0, pred_sem_seg=0), SAMPLES[1]])
    hook.after_val_epoch(runner)
    assert runner.said == TOLD


@pytest.mark.parametrize(
    'outputs', [None, [], [_sample(None, [[0]])], [_sample([[0]], None)], [_sample([[255]], [[0]])]]
)
def test_nothing_to_count(runner, outputs):
    hook = ClassPresenceHook()
    hook.after_test_iter(runner, 0, None, outputs)
    hook.after_test_epoch(runner)
    assert runner.said == []
