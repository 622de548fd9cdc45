"""Configs that name their parts by classes, and datasets within wrappers."""

import runpy
import sys

import numpy as np
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.optim import OptimWrapper
from mmseg.evaluation import IoUMetric

from deepunetto_mm.apis import DeepUNettoInferencer, read_config
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.utils.config_parts import as_list, dataset_parts, loads_picture, type_name, without_weights
from deepunetto_mm.verification.dataset_check import verify_datasets


def test_names_of_types():
    named = [dict(type='IoUMetric'), dict(type='mmseg.IoUMetric'), dict(type=IoUMetric), IoUMetric()]
    assert [type_name(part) for part in named] == ['IoUMetric'] * 4
    assert type_name(dict(lr=1)) == ''
    assert type_name(dict(type=None)) == 'None'
    assert type_name(dict(type=OptimWrapper)) == 'OptimWrapper'


def test_loaders_of_pictures():
    names = 'LoadImageFromFile LoadSingleRSImageFromFile LoadScaledImage LoadMyTiff'
    annotations = 'LoadAnnotations LoadBiomedicalAnnotation LoadRegions LoadThresholdAnnotations ResizeImage'
    assert [loads_picture(name) for name in names.split()] == [True] * 4
    assert [loads_picture(name) for name in annotations.split()] == [False] * 5


def test_parts_of_datasets():
    a, b = dict(type='A', pipeline=[1]), dict(type='B', pipeline=[2])
    assert dataset_parts(a) == [a]
    mixed = dict(type='MultiImageMixDataset', dataset=dict(type=ConcatDataset, datasets=[a, b]), pipeline=[3])
    balanced = dict(type='ClassBalancedDataset', dataset=b, oversample_thr=0.5)
    assert dataset_parts(dict(type='ConcatDataset', datasets=[mixed, balanced])) == [a, b, b]
    scenes = RodConeShapes(num_scenes=1, seed=0)
    assert dataset_parts(ConcatDataset([scenes, scenes])) == [scenes, scenes]
    assert dataset_parts(RepeatDataset(scenes, times=2)) == [scenes]


def test_one_or_several():
    assert as_list(dict(type='A')) == [dict(type='A')]
    assert as_list([1, 2]) == [1, 2]


def test_weights_are_removed_at_any_depth():
    weights = dict(type='Pretrained', checkpoint='a.pth')
    model = dict(
        pretrained='b.pth', init_cfg=weights, heads=[dict(type='A', init_cfg=weights)], neck=dict(pretrained=0)
    )
    without_weights(model)
    assert model == dict(pretrained=None, heads=[dict(type='A')], neck=dict(pretrained=None))


def test_types_that_are_classes_in_every_command(repository, tmp_path, monkeypatch, capsys):
    config = str(repository / 'tests/data/lazy_config.py')
    # Laying the config out would take longer than the rest.
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: ''))

    def run(script, *arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(repository / script), run_name='__main__')
        return capsys.readouterr().out

    run('tools/train.py', config, '--work-dir', tmp_path, '--amp')
    weights = tmp_path / 'iter_1.pth'
    assert 'mIoU' in run('tools/test.py', config, weights, '--work-dir', tmp_path / 'test', '--tta')
    assert [part.dataset for part in verify_datasets(read_config(config)).splits] == ['RodConeShapes'] * 2
    inferencer = DeepUNettoInferencer(config, weights, 'cpu', show_progress=False)
    (result,) = inferencer(np.zeros((64, 64, 3), np.uint8))
    assert result['width'] == 64
