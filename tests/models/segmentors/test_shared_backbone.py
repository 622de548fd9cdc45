"""One encoder that looks twice: what is shared, what is not, and what a checkpoint has."""

import copy
from collections import OrderedDict

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn

from deepunetto_mm.models.segmentors.shared_backbone import second_look
from deepunetto_mm.ops.inference import prepared_for_inference
from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class NormedBackbone(nn.Module):
    """Two feature maps of strides 1 and 2, with batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.first(x)
        return first, self.second(first)


def _twice(tiny, **options):
    crop = dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, picture=True, in_index=(), guidance='none')
    options = dict(backbone=dict(type='deepunetto_mm.NormedBackbone'), fine_backbone='shared', crop_neck=crop) | options
    return tiny(**options)


def _gradients(model, batch):
    losses = model.loss(*batch)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_kernels_are_the_same_and_norms_are_not(tiny):
    model = _twice(tiny)
    first, second = model.backbone, model.fine_backbone
    assert second.first[0].weight is first.first[0].weight
    assert second.second[0].weight is first.second[0].weight
    assert second.first[1].weight is not first.first[1].weight
    assert second.first[1].running_mean is not first.first[1].running_mean
    assert sum(parameter.numel() for parameter in second.parameters()) == 3 * 8 * 9 + 8 * 8 * 9 + 4 * 8
    two = _twice(tiny, fine_backbone=dict(type='deepunetto_mm.NormedBackbone'))
    fewer = sum(own.numel() for own in two.parameters()) - sum(own.numel() for own in model.parameters())
    assert fewer == 3 * 8 * 9 + 8 * 8 * 9


def test_the_gradient_is_the_sum_of_both_looks(tiny, batch):
    model = _twice(tiny)
    two = _twice(tiny, fine_backbone=dict(type='deepunetto_mm.NormedBackbone'))
    two.load_state_dict(model.state_dict(), strict=False)
    two.fine_backbone.load_state_dict(model.fine_backbone.state_dict())
    shared, apart = _gradients(model, batch), _gradients(two, batch)
    for name in ('first.0.weight', 'second.0.weight'):
        first, second = apart[f'backbone.{name}'], apart[f'fine_branch.fine_backbone.{name}']
        assert first.abs().sum() > 0
        assert second.abs().sum() > 0
        torch.testing.assert_close(shared[f'backbone.{name}'], first + second)
    name = 'fine_branch.fine_backbone.first.1.weight'
    torch.testing.assert_close(shared[name], apart[name])


def test_without_regions_every_parameter_has_a_gradient(tiny, scene):
    picture, sample = scene([], [])
    gradients = _gradients(_twice(tiny), (picture[None], [sample]))
    assert not [name for name, gradient in gradients.items() if gradient is None]


@MODELS.register_module()
class IndexedBackbone(NormedBackbone):
    """With a matrix that is not learnt, as the indices of Swin's relative positions."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('index', torch.arange(6).view(2, 3))


def test_matrices_that_are_not_learnt_do_not_make_it_a_checkpoint_of_two_encoders(tiny):
    indexed = dict(type='deepunetto_mm.IndexedBackbone')
    model, other = (_twice(tiny, backbone=indexed) for _ in range(2))
    two = _twice(tiny, backbone=indexed, fine_backbone=indexed)
    nn.init.normal_(model.backbone.first[0].weight)
    for network in (other, two):
        network.load_state_dict(model.state_dict())
        assert torch.equal(network.fine_backbone.first[0].weight, model.backbone.first[0].weight)


@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_checkpoint_has_shared_kernels_once(tiny, batch, wrapper):
    model = _twice(tiny)
    model.loss(*batch)  # statistics of the norms
    names = {f'{wrapper}{name}' for name in model.state_dict()}
    saved = get_state_dict(nn.ModuleDict(dict(module=model)) if wrapper else model)  # mmengine's, by which it saves
    assert set(saved) == names
    assert f'{wrapper}backbone.first.0.weight' in names
    assert f'{wrapper}fine_branch.fine_backbone.first.0.weight' not in names
    assert f'{wrapper}fine_branch.fine_backbone.first.1.weight' in names
    for load in (lambda other, state: other.load_state_dict(state), lambda *own: load_state_dict(*own, strict=True)):
        other = _twice(tiny)
        nn.init.normal_(other.backbone.first[0].weight)
        load(nn.ModuleDict(dict(module=other)) if wrapper else other, OrderedDict(copy.deepcopy(saved)))
        for one, two in zip(model.eval().predict(*copy.deepcopy(batch)), other.eval().predict(*copy.deepcopy(batch))):
            assert torch.equal(one.pred_regions.fine_scores, two.pred_regions.fine_scores)
            assert torch.equal(one.seg_logits.data, two.seg_logits.data)
            assert len(one.pred_regions) > 0
        assert other.fine_backbone.first[0].weight is other.backbone.first[0].weight


def test_a_checkpoint_of_two_encoders_is_refused(tiny):
    two = _twice(tiny, fine_backbone=dict(type='deepunetto_mm.NormedBackbone'))
    nn.init.normal_(two.fine_backbone.first[0].weight)
    with pytest.raises(
        ValueError, match=r'backbone.first.0.weight and fine_branch.* two encoders.* set fine_backbone to'
    ):
        _twice(tiny).load_state_dict(two.state_dict())


def test_a_network_with_two_encoders_can_load_it(tiny, batch):
    model = _twice(tiny)
    model.loss(*batch)
    two = _twice(tiny, fine_backbone=dict(type='deepunetto_mm.NormedBackbone'))
    for load in (lambda state: two.load_state_dict(state), lambda state: load_state_dict(two, state, strict=True)):
        nn.init.normal_(two.fine_backbone.first[0].weight)
        load(OrderedDict(model.state_dict()))
        for one, other in zip(model.eval().predict(*copy.deepcopy(batch)), two.eval().predict(*copy.deepcopy(batch))):
            assert torch.equal(one.pred_regions.fine_scores, other.pred_regions.fine_scores)
            assert len(one.pred_regions) > 0


def test_a_copy_shares_among_itself(tiny):
    model = _twice(tiny)
    other = copy.deepcopy(model)
    assert other.fine_backbone.first[0].weight is other.backbone.first[0].weight
    assert other.backbone.first[0].weight is not model.backbone.first[0].weight
    assert list(other.state_dict()) == list(model.state_dict())


def test_an_average_of_the_weights_has_shared_kernels_once(tiny):
    model = _twice(tiny)
    average = ExponentialMovingAverage(model, momentum=0.25)
    average.update_parameters(model)  # the first is a copy
    kernel = model.backbone.first[0].weight
    before = kernel.detach().clone()
    with torch.no_grad():
        kernel += 1
    average.update_parameters(model)
    torch.testing.assert_close(average.module.backbone.first[0].weight, before + 0.25)
    assert average.module.fine_backbone.first[0].weight is average.module.backbone.first[0].weight


def test_an_optimizer_updates_shared_kernels_once_at_the_rate_of_the_encoder(tiny, batch):
    model = _twice(tiny)
    rates = dict(custom_keys=dict(backbone=dict(lr_mult=2.0), fine_backbone=dict(lr_mult=0.5)))
    cfg = dict(optimizer=dict(type='SGD', lr=1.0), paramwise_cfg=rates)
    with pytest.raises(ValueError, match='some parameters appear in more than one parameter group'):
        build_optim_wrapper(model, cfg)
    wrapper = build_optim_wrapper(model, dict(cfg, paramwise_cfg=dict(rates, bypass_duplicate=True)))
    kernel, norm = model.backbone.first[0].weight, model.fine_backbone.first[1].weight
    before = [part.detach().clone() for part in (kernel, norm)]
    gradients = _gradients(model, batch)
    expected = [
        before[0] - 2.0 * gradients['backbone.first.0.weight'],
        before[1] - 0.5 * gradients['fine_branch.fine_backbone.first.1.weight'],
    ]
    wrapper.step()
    torch.testing.assert_close([kernel.detach(), norm.detach()], expected)


def test_prepared_for_inference_each_look_folds_its_own_norms(tiny, batch):
    model = _twice(tiny)
    for _ in range(3):
        model.loss(*batch)
    model.eval()
    prepared = prepared_for_inference(model)
    assert not [module for module in prepared.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not torch.equal(prepared.fine_backbone.first[0].weight, prepared.backbone.first[0].weight)
    for one, two in zip(model.predict(*copy.deepcopy(batch)), prepared.predict(*copy.deepcopy(batch))):
        torch.testing.assert_close(two.seg_logits.data, one.seg_logits.data, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(two.pred_regions.fine_scores, one.pred_regions.fine_scores, rtol=1e-4, atol=1e-4)
        assert len(one.pred_regions) > 0


def test_another_word_and_crops_of_features_are_refused(tiny):
    for crop in (dict(in_index=(0,)), dict(in_index=(), guidance='concat')):
        with pytest.raises(ValueError, match=r'reads crops of the picture alone: set crop_neck.in_index=\(\)'):
            _twice(tiny, crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', **crop))
    with pytest.raises(ValueError, match=r"a config or a module, got 'share'; only a segmentor.*knows .*='shared'"):
        _twice(tiny, fine_backbone='share')


def test_behind_reduced_rods_crops_are_looked_at_whole(tiny):
    reduced = dict(type='deepunetto_mm.ReducedBackbone', backbone=dict(type='deepunetto_mm.NormedBackbone'))
    inner = second_look(nn.Sequential(MODELS.build(reduced)))
    assert [tuple(seen.shape) for seen in inner(torch.rand(2, 3, 8, 6))] == [(2, 8, 8, 6), (2, 8, 4, 3)]
    model, plain = _twice(tiny, backbone=reduced).eval(), _twice(tiny)
    crops = torch.rand(2, 3, 8, 6)
    plain.fine_backbone.load_state_dict(model.fine_backbone.backbone.state_dict())
    plain.eval()
    assert [tuple(seen.shape) for seen in model.fine_backbone(crops)] == [(2, 8, 8, 6), (2, 8, 4, 3)]
    for seen, expected in zip(model.fine_backbone(crops), plain.fine_backbone(crops), strict=True):
        torch.testing.assert_close(seen, expected)
    assert [tuple(seen.shape) for seen in model.backbone(crops)] == [(2, 8, 4, 3), (2, 8, 2, 2)]
    same = _twice(tiny, backbone=reduced)
    same.load_state_dict(model.state_dict())
    assert torch.equal(same.fine_backbone.backbone.first[0].weight, model.backbone.backbone.first[0].weight)
