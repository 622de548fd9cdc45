"""Regions whose masks are given are named, from crops of the picture and of feature maps."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

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


@pytest.mark.parametrize(
    ('name', 'prefix'),
    [
        ('region_classifier', 'fine_branch.fine_backbone.backbone.'),
        ('region_classifier_features', 'features.backbone.'),
    ],
)
def test_a_fine_branch_starts_from_its_weights_by_the_prefix_of_the_page(name, prefix, tmp_path):
    assert prefix in (FOLDER / 'README.md').read_text(encoding='utf-8')
    trained = MODELS.build(Config.fromfile(FOLDER / f'{name}.py').model)
    path = str(tmp_path / 'trained.pth')
    torch.save(dict(state_dict=trained.state_dict()), path)
    init = dict(type='Pretrained', checkpoint=path, prefix=prefix)
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=18, init_cfg=init))
    backbone.init_weights()
    assert torch.equal(backbone.layer4[1].conv2.weight, trained.backbone.layer4[1].conv2.weight)
