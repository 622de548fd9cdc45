"""Checkpoints of version 0.1, whose fine parts had other names, load, and train and predict as they did then."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmseg.structures import SegDataSample

from deepunetto_mm.models import DeepUNettoTTA
from deepunetto_mm.registry import MODELS

DOG, CAT, SKY = 1, 2, 3
SIZE = (23, 29)
TILES = dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, tiles_per_batch=3)
PETS = dict(
    classes=['grass', 'dog', 'cat', 'sky'],
    groups=[dict(name='animal', members=['dog', 'cat'], fine_classes=['cat', 'dog'])],
)


def _crop(**options) -> dict:
    return dict(type='deepunetto_mm.MaskGuidedRoICrop', **{'output_size': 6, **options})


SEGMENTORS = dict(
    whole=dict(crop_neck=_crop(guidance='soft')),
    feats=dict(
        crop_neck=_crop(picture=True, in_index=(0, 1)),
        fine_backbone=dict(type='deepunetto_mm.TinyBackbone', in_channels=19),
    ),
    slide=dict(test_cfg=dict(mode='slide', crop_size=(12, 12), stride=(7, 7))),
    tile=dict(test_cfg=TILES, crop_neck=_crop(guidance='soft')),
    stream=dict(test_cfg=dict(TILES, keep_logits=False), crop_neck=_crop(guidance='soft')),
    vote=dict(crop_neck=None, fine_backbone=None, fine_head=None, taxonomy=PETS, test_cfg=dict(vote=True)),
    oracle=dict(test_cfg=dict(oracle=True), train_cfg=dict(regions='mixed', box_jitter=0.1)),
)
CLASSIFIERS = dict(
    classifier_picture=dict(crop_neck=_crop(output_size=8), neck=dict(type='mmpretrain.GlobalAveragePooling')),
    classifier_maps=dict(crop_neck=_crop(picture=False, in_index=(0,))),
)


@pytest.fixture(scope='module')
def saved() -> dict:
    """``inputs`` (2, 3, H, W), and of each case ``state``, ``losses``, ``predictions`` and those of two views."""
    return torch.load(Path(__file__).parents[2] / 'data' / 'version_0_1.pt', weights_only=True)


@pytest.fixture
def samples(scene) -> list[SegDataSample]:
    boxes = [(1, 1, 9, 8, DOG), (12, 3, 20, 14, CAT), (20, 3, 27, 9, DOG), (2, 12, 11, 22, CAT)]
    _, first = scene(boxes, [0, 2, 1, 2], SIZE)
    _, second = scene([(0, 5, 29, 20, SKY)], [-1], SIZE)
    second.gt_regions = second.gt_regions[:0]
    second.gt_region_map.data.zero_()
    return [first, second]


def _require_predictions(sample: SegDataSample, saved: dict) -> None:
    for field in ('pred_sem_seg', 'pred_region_map', 'pred_fine_seg'):
        assert torch.equal(sample.get(field).data.long(), saved[field].long()), field
    assert set(sample.pred_regions.keys()) == set(saved['pred_regions'])
    for key, value in saved['pred_regions'].items():
        torch.testing.assert_close(sample.pred_regions[key], value, rtol=1e-5, atol=1e-6)
    if 'oracle' in saved:
        torch.testing.assert_close(sample.gt_regions.oracle_scores, saved['oracle'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', [*SEGMENTORS, *CLASSIFIERS])
def test_it_loads_and_does_what_it_did(tiny, samples, saved, name, mmseg_scope):
    case, inputs = saved['cases'][name], saved['inputs']
    if name in SEGMENTORS:
        model = tiny(**copy.deepcopy(SEGMENTORS[name]))
    else:
        model = MODELS.build(
            dict(
                type='deepunetto_mm.RegionClassifier',
                taxonomy=tiny().taxonomy,
                backbone=dict(type='deepunetto_mm.TinyBackbone'),
                head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=8),
                **copy.deepcopy(CLASSIFIERS[name]),
            )
        )
    load_state_dict(model, dict(case['state']), strict=True)
    if 'losses' in case:
        torch.manual_seed(2)
        losses = model.loss(inputs, copy.deepcopy(samples))
        assert list(losses) == list(case['losses'])
        for key, value in case['losses'].items():
            torch.testing.assert_close(losses[key].detach(), value, rtol=1e-5, atol=1e-6)
    model.eval()
    own = copy.deepcopy(samples)
    if name in ('whole', 'tile'):
        frame = dict(ori_shape=(46, 40), flip=True, flip_direction='horizontal', img_padding_size=(0, 3, 0, 2))
        own[0].set_metainfo(frame)
    with torch.no_grad():
        for sample, expected in zip(model.predict(inputs, own), case['predictions']):
            _require_predictions(sample, expected)
        if 'tta' in case:
            views = [copy.deepcopy(samples[:1]) for _ in range(2)]
            views[1][0].set_metainfo(dict(flip=True, flip_direction='horizontal'))
            data = dict(inputs=[[inputs[0]], [inputs[0].flip(2)]], data_samples=views)
            (sample,) = DeepUNettoTTA(module=model).test_step(data)
            _require_predictions(sample, case['tta'][0])


def test_every_old_name_is_in_the_checkpoint(saved):
    """So that the table of names is tried whole."""
    names = {name.split('.')[0] for case in saved['cases'].values() for name in case['state']}
    assert names == {'backbone', 'decode_head', 'fine_backbone', 'fine_head', 'head', 'taxonomy_stamp'}
