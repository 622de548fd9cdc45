"""Segmentors of mmseg paint, and the fine branch names what they painted."""

from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    ('name', 'losses'),
    [
        ('deeplabv3plus', {'decode.loss_ce', 'aux.loss_ce', 'fine.loss_cls', 'loss'}),
        ('segformer-b0', {'decode.loss_ce', 'fine.loss_cls', 'loss'}),
    ],
)
def test_trains_and_tests(name, losses, train_and_test):
    run = train_and_test(FOLDER / f'deepunetto_shapes_{name}.py')
    assert set(run.losses) == losses
    assert {'mIoU', 'fine/recognition', 'composed/mIoU'} <= set(run.figures)
    for sample in run.samples:
        assert sample.seg_logits.data.shape == (4, 64, 64)
        assert torch.equal(sample.pred_region_map.data.unique()[1:], sample.pred_regions.ids)
        assert sample.pred_fine_seg.data.max() < 13
