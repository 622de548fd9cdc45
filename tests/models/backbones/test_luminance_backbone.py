import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from deepunetto_mm.models import LuminanceBackbone
from deepunetto_mm.ops import luminance
from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class PlainConvs(nn.Module):
    """Two convolutions: a backbone small enough to know by heart."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 5, 3, padding=1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x)
        return [x, self.body(x)]


def _rods(in_channels: int, **options) -> LuminanceBackbone:
    options = {'mean': [100.0] * 3, 'std': [50.0] * 3, **options}
    return LuminanceBackbone(dict(type='deepunetto_mm.PlainConvs', in_channels=in_channels), **options)


def test_sees_the_normalised_luma():
    rods = _rods(1, mean=[100.0, 110.0, 120.0], std=[50.0, 40.0, 60.0])
    rods.backbone = nn.Identity()
    rgb = torch.tensor([255.0, 0.0, 100.0]).view(1, 3, 1, 1)
    x = (rgb - rods.mean) / rods.std
    luma = 0.2126 * 255 + 0.0722 * 100
    mean = 0.2126 * 100 + 0.7152 * 110 + 0.0722 * 120
    torch.testing.assert_close(rods(x), torch.tensor((luma - mean) / 50).view(1, 1, 1, 1))


def test_two_colours_of_one_luma_look_alike():
    rods = _rods(1)
    red = torch.tensor([200.0, 50.0, 50.0])
    luma = float(red @ torch.tensor([0.2126, 0.7152, 0.0722]))
    colours = torch.stack([red, torch.full((3,), luma)]).view(2, 3, 1, 1).expand(-1, -1, 4, 4)
    one, other = rods((colours - 100) / 50)[1]
    torch.testing.assert_close(one, other)


def test_rgb_weights_fold_into_one_channel_exactly_on_grey():
    rgb = PlainConvs(3)
    rods = _rods(1)
    load_state_dict(rods.backbone, rgb.state_dict(), strict=True)
    grey = torch.rand(2, 1, 7, 9).expand(-1, 3, -1, -1) * 4 - 2
    for ours, theirs in zip(rods(grey), rgb(grey)):
        torch.testing.assert_close(ours, theirs)


def test_three_channels_keep_rgb_weights_exact_whatever_the_normalisation():
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    rgb = PlainConvs(3)
    rods = _rods(3, mean=mean, std=std, channels=3)
    load_state_dict(rods.backbone, rgb.state_dict(), strict=True)
    x = (torch.rand(2, 1, 7, 9).expand(-1, 3, -1, -1) * 255 - rods.mean) / rods.std
    for ours, theirs in zip(rods(x), rgb(x)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('signal', ['bt601', 'linear_light', 'lightness', 'learned'])
def test_is_the_rgb_network_on_the_grey_picture_of_the_signal(signal, channels):
    rgb = PlainConvs(3)
    rods = _rods(channels, signal=signal, channels=channels)
    load_state_dict(rods.backbone, rgb.state_dict(), strict=True)
    colours = torch.rand(2, 3, 7, 9) * 255
    grey = luminance(colours, 'bt709' if signal == 'learned' else signal).expand(-1, 3, -1, -1)
    for ours, theirs in zip(rods((colours - 100) / 50), rgb((grey - 100) / 50)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_learned_weights_weigh_differences_from_the_mean_colour():
    rods = _rods(1, mean=[100.0, 110.0, 120.0], std=[50.0, 40.0, 60.0], signal='learned')
    rods.backbone = nn.Identity()
    with torch.no_grad():
        rods.mixing.copy_(torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1))
    rgb = torch.tensor([130.0, 105.0, 140.0]).view(1, 3, 1, 1)
    # (1 * 30 - 2 * -5 + 0.5 * 20) / 50, 50 being the average spread
    torch.testing.assert_close(rods((rgb - rods.mean) / rods.std), torch.ones(1, 1, 1, 1))
    assert rods(torch.zeros(1, 3, 1, 1)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('batch', [0, 2])
def test_every_learned_weight_gets_a_gradient(channels, batch):
    rods = _rods(channels, signal='learned', channels=channels)
    rods.init_weights()
    assert rods.mixing.flatten().tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    rods(torch.randn(batch, 3, 4, 4))[1].sum().backward()
    assert all(parameter.grad is not None for parameter in rods.parameters())
    assert (rods.mixing.grad != 0).all() == (batch > 0)


@pytest.mark.parametrize('channels', [1, 3])
def test_own_checkpoint_with_learned_weights_loads_again(channels):
    first, second = (_rods(channels, signal='learned', channels=channels) for _ in range(2))
    nn.init.normal_(first.mixing)
    load_state_dict(second, first.state_dict(), strict=True)
    torch.testing.assert_close(second.mixing, first.mixing)
    assert 'mixing' not in _rods(1).state_dict()


def test_own_checkpoint_loads_again():
    first, second = _rods(1), _rods(1)
    load_state_dict(second, first.state_dict(), strict=True)
    torch.testing.assert_close(second.backbone.stem.weight, first.backbone.stem.weight)


def test_further_channels_pass_unchanged():
    rods = _rods(2)
    rods.backbone = nn.Identity()
    x = torch.randn(1, 4, 3, 3)
    assert rods(x).shape == (1, 2, 3, 3)
    torch.testing.assert_close(rods(x)[:, 1], x[:, 3])


@pytest.mark.parametrize(('option', 'value'), [('signal', 'bt2020'), ('channels', 2), ('mean', [0.0])])
def test_bad_options_are_named(option, value):
    with pytest.raises(ValueError, match=option):
        _rods(1, **{option: value})


def test_layers_are_numbered_as_the_wrapped_backbone_does():
    rods = LuminanceBackbone(
        dict(type='mmpretrain.ResNet', depth=50, in_channels=1), [100.0] * 3, [50.0] * 3, signal='learned'
    )
    names = ('conv1.weight', 'layer1.0.bn2.bias', 'layer4.1.conv1.weight')
    depths = [rods.get_layer_depth(f'backbone.backbone.{name}', 'backbone.') for name in names]
    assert depths == [(0, 8), (1, 8), (6, 8)]
    assert [rods.get_layer_depth(name, 'backbone.') for name in ('backbone.mixing', 'fine_head.fc.bias')] == [
        (7, 8)
    ] * 2


def test_a_backbone_that_does_not_number_its_layers_is_named():
    with pytest.raises(NotImplementedError, match='get_layer_depth.*PlainConvs does not have it'):
        _rods(1).get_layer_depth('backbone.stem.weight', 'backbone.')


@pytest.mark.filterwarnings('ignore')  # newer ones of torch recommend torch.export
@pytest.mark.parametrize('options', [dict(), dict(channels=3), dict(signal='learned')])
def test_torchscript_traces_it(options):
    """It refuses models in which two buffers are one tensor."""
    rods = _rods(options.get('channels', 1), **options).eval()
    places = [buffer.data_ptr() for buffer in rods.buffers()]
    assert len(places) == len(set(places))
    x = torch.rand(1, 3, 6, 6)
    traced = torch.jit.trace(_Last(rods), x)
    assert torch.equal(traced(x), rods(x)[1])


class _Last(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)[1]
