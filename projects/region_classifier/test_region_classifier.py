"""Regions whose masks are given are named, from crops of the picture and of feature maps."""

from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


@pytest.mark.parametrize('name', ['region_classifier', 'region_classifier_fpn', 'region_classifier_features'])
def test_trains_and_tests(name, train_and_test):
    run = train_and_test(FOLDER / f'{name}.py')
    assert set(run.losses) == {'loss_cls', 'loss'}
    # The masks are given: what is not right is the name.
    assert run.figures['fine/found'] == run.figures['fine/precision'] == 100
    assert 0 <= run.figures['fine/recognition'] == run.figures['fine/top1'] <= 100
    for sample in run.samples:
        assert torch.equal(sample.pred_regions.ids, sample.gt_regions.ids)
        assert torch.equal(sample.pred_regions.labels, sample.gt_regions.labels)
        assert torch.equal(sample.pred_region_map.data, sample.gt_region_map.data)
