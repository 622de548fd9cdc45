"""How the network is built, what its parts refuse, and its checkpoints; training and prediction are tested beside."""

import copy
from collections import OrderedDict

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from deepunetto_mm.structures import Taxonomy, TaxonomyError

DOG, CAT, SKY = 1, 2, 3
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


def _total(losses: dict) -> torch.Tensor:
    return sum(value for key, value in losses.items() if 'loss' in key)


def test_each_backbone_numbers_its_own_layers(tiny):
    rods = dict(type='mmpretrain.ResNet', depth=50)
    cones = dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=16, patch_size=8)
    model = tiny(backbone=rods, fine_backbone=cones)
    depths = {
        'backbone.conv1.weight': (0, 8),
        'backbone.layer4.1.bn2.bias': (6, 8),
        'decode_head.conv_seg.bias': (0, 1),
        'fine_branch.fine_backbone.pos_embed': (0, 14),
        'fine_branch.fine_backbone.layers.3.ln1.bias': (4, 14),
        'fine_branch.fine_head.fc.weight': (0, 1),
    }
    assert {name: model.get_layer_depth(name) for name in depths} == depths
    with pytest.raises(NotImplementedError, match='need a backbone .* TinyBackbone does not have it'):
        tiny().get_layer_depth('backbone.first.0.weight')


def test_without_fine_parts_it_is_mmsegs_encoder_decoder(tiny, tiny_decoder, batch):
    plain = tiny(region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None, taxonomy=None).eval()
    theirs = EncoderDecoder(
        backbone=dict(type='deepunetto_mm.TinyBackbone'),
        decode_head=tiny_decoder(),
        test_cfg=plain.test_cfg,
    ).eval()
    theirs.load_state_dict(plain.state_dict())
    inputs, samples = batch
    assert {key: float(value) for key, value in plain.loss(inputs, samples).items()} == {
        key: float(value) for key, value in theirs.loss(inputs, samples).items()
    }
    for ours, other in zip(
        plain.predict(inputs, copy.deepcopy(samples)), theirs.predict(inputs, copy.deepcopy(samples))
    ):
        assert torch.equal(ours.seg_logits.data, other.seg_logits.data)
        assert 'pred_regions' not in ours


def test_checkpoint_carries_the_taxonomy(tiny):
    model = tiny()
    load_state_dict(tiny(), model.state_dict(), strict=True)
    changed = copy.deepcopy(model.taxonomy.to_dict())
    changed['groups'][0]['fine_classes'] = ['poodle', 'collie']
    with pytest.raises(TaxonomyError, match=r"fine classes of 'dog'.*without \['boxer'\].*with \['collie'\]"):
        load_state_dict(tiny(taxonomy=changed), model.state_dict())


def test_a_wrapped_models_checkpoint_is_checked_too(tiny):
    model = tiny()
    wrapped = OrderedDict((f'module.{key}', value) for key, value in model.state_dict().items())
    changed = copy.deepcopy(model.taxonomy.to_dict())
    changed['ignore_index'] = 254
    with pytest.raises(TaxonomyError, match='ignore_index: 255 became 254'):
        load_state_dict(nn.ModuleDict(dict(module=tiny(taxonomy=changed))), wrapped)


def test_taxonomy_object_and_dict_are_alike(tiny):
    model = tiny()
    assert tiny(taxonomy=Taxonomy.from_dict(model.taxonomy.to_dict())).taxonomy == model.taxonomy


def test_can_be_copied(tiny):
    """As hooks that average weights do."""
    model = tiny(test_cfg=dict(mode='slide', crop_size=(8, 8), stride=(4, 4)))
    assert copy.deepcopy(model).test_cfg.crop_size == (8, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('number', [0, 2])
def test_on_cuda_as_on_the_cpu(tiny, colour_reader, scene, monkeypatch, number):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    picture, sample = scene(BOXES[:number], [0, 2][:number])
    with torch.no_grad():
        model = colour_reader()
        (expected,) = model.predict(picture[None], [sample.clone()])
        (found,) = model.cuda().predict(picture[None].cuda(), [sample.clone()])
    assert len(found.pred_regions) == number
    for field in ('pred_sem_seg', 'pred_region_map', 'pred_fine_seg'):
        assert torch.equal(found.get(field).data.cpu(), expected.get(field).data), field
    for key in expected.pred_regions.keys():
        torch.testing.assert_close(found.pred_regions[key].cpu(), expected.pred_regions[key], rtol=1e-3, atol=1e-3)
    for regions in ('gt', 'pred'):
        model = tiny(train_cfg=dict(regions=regions))
        losses = model.loss(picture[None], [sample.clone()])
        moved = model.cuda().loss(picture[None].cuda(), [sample.clone().cuda()])
        _total(moved).backward()
        for key in losses:
            torch.testing.assert_close(moved[key].cpu(), losses[key], rtol=1e-3, atol=1e-3)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
