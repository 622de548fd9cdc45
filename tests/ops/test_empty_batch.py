import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from deepunetto_mm.ops import empty_batch, run_on_crops


def _swin():
    return MODELS.build(dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=32, pad_small_map=True))


def _pooled():
    pool = MODELS.build(dict(type='mmpretrain.GlobalAveragePooling'))
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
    return nn.ModuleDict(dict(body=body, pool=pool))


def test_a_batch_with_crops_goes_through_as_it_is():
    crops = torch.rand(2, 3, 8, 8)
    assert run_on_crops(lambda x: [x], crops, nn.Identity())[0] is crops


def test_networks_that_can_get_the_empty_batch():
    seen = []
    features = run_on_crops(lambda x: seen.append(len(x)) or [x], torch.zeros(0, 3, 8, 8), nn.Identity())
    assert seen == [0]
    assert features[0].shape == (0, 3, 8, 8)


def test_networks_that_cannot_are_reached_all_the_same():
    network = _pooled()
    with pytest.raises(RuntimeError):
        network.pool(torch.zeros(0, 4, 1, 1))
    features = run_on_crops(lambda x: network.pool((network.body(x),)), torch.zeros(0, 3, 8, 8), network)
    assert features[-1].shape == (0, 4)
    features[-1].sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in network.parameters())


def test_blank_crops_leave_no_trace_in_running_means_and_variances():
    network = _pooled()
    network.body[3].eval()  # frozen, and still so afterwards
    before = {name: value.clone() for name, value in network.named_buffers() if 'running' in name}
    assert len(before) == 4
    run_on_crops(lambda x: network.pool((network.body(x),)), torch.zeros(0, 3, 8, 8), network)
    assert all(torch.equal(network.get_buffer(name), value) for name, value in before.items())
    assert network.body[1].training
    assert not network.body[3].training


@pytest.mark.parametrize(('crops', 'fewest'), [(0, 0), (3, 0), (3, 1)])
def test_norms_of_all_processes_do_as_the_others_do(monkeypatch, crops, fewest):
    """If one of the processes has no crop, none normalises by this step: it would wait for the others for ever."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4))
    norm = network[1]
    asked, modes = [], []
    monkeypatch.setattr(
        empty_batch, 'all_reduce', lambda count, op: asked.append((int(count), op)) or count.fill_(fewest)
    )
    monkeypatch.setattr(norm, 'forward', lambda x: modes.append(norm.training) or x)
    features = run_on_crops(lambda x: [network(x)], torch.rand(crops, 3, 2, 2), network)
    assert features[0].shape == (crops, 4, 2, 2)
    assert (asked, modes) == ([(crops, 'min')], [fewest > 0])
    assert norm.training
    network.eval()
    run_on_crops(lambda x: [network(x)], torch.rand(crops, 3, 2, 2), network)
    assert len(asked) == 1


def test_swin():
    network = _swin()
    crops = torch.zeros(0, 3, 32, 32)
    with pytest.raises(RuntimeError):
        network(crops)
    assert run_on_crops(network, crops, network)[-1].shape == (0, 768, 1, 1)


def test_an_error_of_another_cause_is_told():
    with pytest.raises(RuntimeError, match='channels'):
        run_on_crops(lambda x: [nn.Conv2d(4, 4, 3)(x)], torch.zeros(0, 3, 8, 8), nn.Identity())


def test_one_crop_that_batchnorm_cannot_normalise_is_seen_as_in_a_test():
    """The map is 1x1 behind the second convolution; the first layer has learned from the crop by then, and forgets."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    for layer in (network[1], network[3]):
        nn.init.uniform_(layer.running_mean)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    crop = torch.rand(1, 3, 7, 7)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        network(crop)
    network.load_state_dict(before)
    (features,) = run_on_crops(lambda x: [network(x)], crop, network)
    assert network[1].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(features, network.eval()(crop))
    features.sum().backward()
    assert network[0].weight.grad is not None


def test_one_crop_of_many_pixels_is_normalised_by_itself():
    network = nn.BatchNorm2d(3)
    crop = torch.rand(1, 3, 5, 5)
    (features,) = run_on_crops(lambda x: [network(x)], crop, network)
    torch.testing.assert_close(features.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert network.num_batches_tracked == 1
