"""Small networks that find regions without training."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.utils import digit_version

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.deployment import export_onnx

# The export refuses older versions.
collect_ignore_glob = ['test_*.py'] * (digit_version(torch.__version__) < digit_version('2.9'))


@pytest.fixture(scope='session')
def make_inferencer(repository):
    """An inferencer whose labels vary over a picture; keywords replace parts of the model."""

    def make(**parts):
        cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
        vgg = dict(type='mmpretrain.VGG', depth=11)
        cfg.model.backbone.channels = 3
        cfg.model.backbone.backbone = dict(
            num_stages=2, dilations=(1, 1), out_indices=(0, 1), norm_cfg=dict(type='BN'), **vgg
        )
        # GroupNorm, with which no region is not simple.
        cfg.model.fine_backbone = dict(
            num_stages=1, dilations=(1,), out_indices=(0,), norm_cfg=dict(type='GN', num_groups=8), **vgg
        )
        cfg.model.decode_head.update(in_channels=[64, 128], strides=(2, 4), channels=(8, 8))
        cfg.merge_from_dict(dict(model=parts))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            inferencer = DeepUNettoInferencer(cfg, device='cpu', show_progress=False)
            model = inferencer.model
            torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=3.0)
            scene = torch.from_numpy(RodConeShapes(num_scenes=1, seed=0, size=(96, 96))[0]['img']).permute(2, 0, 1)
            inputs = model.data_preprocessor(dict(inputs=[scene]))['inputs']
            with torch.no_grad():
                logits = model.look(inputs).maps.logits
                model.decode_head.conv_seg.bias -= logits.mean((0, 2, 3))
        return inferencer

    return make


@pytest.fixture(scope='session')
def inferencer(make_inferencer, isolated):
    # Soft masks and soft names, which need the most inputs.
    with isolated():
        return make_inferencer(
            crop_neck=dict(guidance='soft', picture=True),
            fine_head=dict(condition='soft'),
            region_proposer=dict(min_area=40),
            test_cfg=dict(crops_per_pass=3),
        )


@pytest.fixture(scope='session')
def exported(inferencer, isolated, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported') / 'network'
    with isolated():
        differences = export_onnx(inferencer, folder)
    assert len(differences) == 3
    assert max(item.regions for item in differences) > 3  # more than one pass of crops
    assert max(item.largest for item in differences) < 1e-5
    return folder


@pytest.fixture(scope='session')
def folder_of_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for number, size in enumerate([(64, 64), (75, 91), (64, 130)]):
        picture = RodConeShapes(num_scenes=1, seed=number, size=size)[0]['img']
        cv2.imwrite(str(folder / f'{number}.png'), picture)
    cv2.imwrite(str(folder / 'nothing.png'), np.full((40, 40, 3), 255, np.uint8))
    return folder
