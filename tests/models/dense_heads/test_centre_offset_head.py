"""What a head of centres paints, and what its losses are."""

import copy
import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.models import CentreOffsetHead

NAN = math.nan
HEAD = dict(type='deepunetto_mm.CentreOffsetHead', in_channels=8, channels=8, norm_cfg=dict(type='GN', num_groups=2))


def _sample(targets, size=None):
    targets = torch.tensor(targets)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, *(size or targets.shape[1:]))))
    sample.set_data(dict(gt_centre_map=PixelData(data=targets)))
    return sample


def _losses(maps, samples, **options):
    losses = CentreOffsetHead(4, heat_weight=3.0, vector_weight=0.5, **options).loss(maps, samples)
    assert list(losses) == ['loss_heat', 'loss_vectors']
    return [value.item() for value in losses.values()]


@pytest.mark.parametrize(('options', 'size'), [({}, (3, 4)), (dict(stride=1), (5, 8))])
def test_maps_have_half_the_size_of_the_features_or_the_same(options, size):
    painted = CentreOffsetHead(4, **options)(torch.rand(2, 4, 5, 8), [])
    assert {name: tuple(x.shape) for name, x in painted.items()} == dict(heat=(2, 1, *size), vectors=(2, 2, *size))


def test_losses_are_means_over_what_is_known():
    sample = _sample([[[1.0, 0.5, NAN]], [[2.0, NAN, NAN]], [[-1.0, NAN, NAN]]])
    maps = dict(heat=torch.tensor([[[[0.5, 0.5, 9]]]]), vectors=torch.tensor([[[[1.0, 7, 7]], [[1.0, 7, 7]]]]))
    assert _losses(maps, [sample]) == pytest.approx([3 * 0.25 / 2, 0.5 * (1 + 2)])


def test_a_batch_is_a_mean_over_its_pixels_and_padding_counts_nowhere():
    first = _sample([[[1.0, 1.0]], [[2.0, NAN]], [[0.0, NAN]]], size=(2, 3))  # as mmseg pads the mask alone
    second = _sample([[[1.0] * 3] * 2, [[1.0] * 3] * 2, [[0.0] * 3] * 2])
    maps = dict(heat=torch.zeros(2, 1, 2, 3), vectors=torch.zeros(2, 2, 2, 3))
    assert _losses(maps, [first, second]) == pytest.approx([3.0, 0.5 * (2 + 6) / 7])


def test_targets_are_reduced_to_the_maps():
    """Cells of 2x2 pixels: the greatest heat, unknown if a pixel's is, and the vector of the last."""
    heat = [[0.0, 1.0, 0.5, NAN], [0.0, 0.0, 0.5, 0.5]]
    x = [[9.0, 9.0, NAN, NAN], [9.0, 4.0, NAN, 6.0]]
    y = [[9.0, 9.0, NAN, NAN], [9.0, -2.0, NAN, 0.0]]
    maps = dict(heat=torch.tensor([[[[0.5, 7]]]]), vectors=torch.tensor([[[[2.0, 1.0]], [[-1.0, 0.0]]]]))
    assert _losses(maps, [_sample([heat, x, y])]) == pytest.approx([3 * 0.25, 0.5 * (0 + 4) / 2])


def test_vectors_are_in_pixels_of_the_map():
    """Right vectors at half of the height and a third of the width are right."""
    sample = _sample([[[0.0] * 6] * 4, [[9.0] * 6] * 4, [[-4.0] * 6] * 4])
    vectors = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    assert _losses(dict(heat=torch.zeros(1, 1, 2, 2), vectors=vectors), [sample]) == [0, 0]


@pytest.mark.parametrize('boxes', [[(1, 1, 8, 7, 1), (8, 1, 15, 7, 1)], []])
def test_the_losses_reach_every_parameter(tiny, scene, boxes):
    model = tiny(dense_heads=dict(centres=HEAD))
    picture, sample = scene(boxes, [0] * len(boxes))
    targets = torch.zeros(3, 16, 20)
    targets[1:, sample.gt_region_map.data[0] == 0] = NAN
    sample.set_data(dict(gt_centre_map=PixelData(data=targets)))
    losses = model.loss(picture[None], [sample])
    assert (losses['centres.loss_vectors'] > 0) == bool(boxes)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]


@pytest.mark.parametrize('parts', [{}, dict.fromkeys(('region_proposer', 'crop_neck', 'fine_backbone', 'fine_head'))])
def test_what_it_paints_is_in_the_prediction(tiny, scene, parts):
    model = tiny(dense_heads=dict(centres=HEAD), **parts).eval()
    picture, sample = scene([], [])
    with torch.no_grad():
        painted = model.look(picture[None]).maps
        result = model.predict(picture[None], [sample])[0]
    expected = torch.cat([painted['centres.heat'], painted['centres.vectors']], 1)[0]
    torch.testing.assert_close(result.pred_centre_map.data, expected)


def test_a_head_is_initialised_as_its_config_says(tiny):
    init = dict(type='Constant', val=0.25, override=dict(name='painter'))
    model = tiny(dense_heads=dict(own=dict(HEAD, init_cfg=init), plain=HEAD))
    before = copy.deepcopy(model.dense_heads['plain'].state_dict())
    model.init_weights()
    assert (model.dense_heads['own'].painter.weight == 0.25).all()
    assert all(torch.equal(own, before[key]) for key, own in model.dense_heads['plain'].state_dict().items())


def test_targets_are_needed(tiny, scene):
    picture, sample = scene([], [])
    with pytest.raises(ValueError, match='scene.png: .* learns from gt_centre_map.*Put deepunetto_mm.AddCentreTargets'):
        tiny(dense_heads=dict(centres=HEAD)).loss(picture[None], [sample])
