"""mmpretrain's heads train and name as DeepUNetto's fine head."""

from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(('name', 'head'), [('linear-cls', 'LinearClsHead'), ('arcface', 'ArcFaceClsHead')])
def test_trains_and_tests(name, head, train_and_test):
    run = train_and_test(FOLDER / f'deepunetto_shapes_{name}.py')
    assert type(run.model.fine_head.head).__name__ == head
    assert set(run.losses) == {'decode.loss_ce', 'decode.loss_dice', 'fine.loss_cls', 'loss'}
    assert {'mIoU', 'fine/recognition'} <= set(run.figures)
    # A chance of one in twelve.
    assert run.losses['fine.loss_cls'][0] > 1
    for sample in run.samples:
        regions = sample.pred_regions
        torch.testing.assert_close(regions.fine_scores.sum(1), torch.ones(len(regions)))
        # Named within the group that the segmentation gave.
        assert torch.equal(regions.fine_labels // 4, regions.labels)
