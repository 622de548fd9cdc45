"""A batch of pictures of several sizes is predicted as each of them would be."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS

from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.models import DeepUNettoTTA
from deepunetto_mm.ops.mixed_sizes import predict_by_size


def test_each_size_is_one_pass_and_the_order_stays():
    passes = []

    def predict(data):
        passes.append([len(picture[0, 0]) for picture in data['inputs']])
        return [f'{picture.shape[2]} {sample}' for picture, sample in zip(data['inputs'], data['data_samples'])]

    pictures = [torch.zeros(3, 2, width) for width in (4, 5, 4, 6, 5)]
    found = predict_by_size(predict, dict(inputs=pictures, data_samples=list('abcde')))
    assert found == ['4 a', '5 b', '4 c', '6 d', '5 e']
    assert passes == [[4, 4], [5, 5], [6]]
    assert predict_by_size(predict, dict(inputs=torch.zeros(2, 3, 2, 7), data_samples=['f', 'g'])) == ['7 f', '7 g']


@pytest.fixture
def model(repository, mmseg_scope):
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(repository / 'tests/data/tiny_config.py').model).eval()


@pytest.fixture
def items(mmseg_scope):
    pipeline = [dict(type='deepunetto_mm.PackRegionInputs')]
    return [
        RodConeShapes(num_scenes=1, seed=seed, size=size, pipeline=pipeline)[0]
        for seed, size in enumerate([(64, 64), (64, 80), (64, 64)])
    ]


@pytest.mark.parametrize('step', ['val_step', 'test_step', 'tta'])
def test_networks_take_them(model, items, step):
    def predict(batch):
        data = pseudo_collate(copy.deepcopy(batch))
        if step == 'tta':
            return DeepUNettoTTA(module=model).test_step({key: [value] for key, value in data.items()})
        return getattr(model, step)(data)

    with torch.no_grad():
        together, alone = predict(items), [predict([item])[0] for item in items]
    for sample, expected in zip(together, alone):
        assert sample.img_path == expected.img_path
        assert sample.pred_sem_seg.data.equal(expected.pred_sem_seg.data)
        assert sample.pred_region_map.data.equal(expected.pred_region_map.data)
