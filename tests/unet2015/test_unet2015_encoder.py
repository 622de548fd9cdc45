import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepunetto_mm.registry import MODELS
from deepunetto_mm.unet2015 import UNet2015Encoder


def _encoder(channels=(4, 6, 8), **options) -> UNet2015Encoder:
    return MODELS.build(dict(type='deepunetto_mm.UNet2015Encoder', channels=channels, **options))


def test_channels_and_sizes_of_the_papers_figure():
    with torch.device('meta'):  # shapes alone, nothing is computed
        encoder = UNet2015Encoder()
        sizes: list[tuple] = []
        for module in encoder.modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
                module.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:3])))
        feats = encoder(torch.zeros(1, 1, 572, 572))
    assert sizes == [
        *[(64, 570), (64, 568), (64, 284)],
        *[(128, 282), (128, 280), (128, 140)],
        *[(256, 138), (256, 136), (256, 68)],
        *[(512, 66), (512, 64), (512, 32)],
        *[(1024, 30), (1024, 28)],
    ]
    assert [(feat.shape[1], *feat.shape[2:]) for feat in feats] == [
        (64, 568, 568),
        (128, 280, 280),
        (256, 136, 136),
        (512, 64, 64),
        (1024, 28, 28),
    ]


def test_number_of_parameters():
    with torch.device('meta'):
        encoder = UNet2015Encoder()
    # Two convolutions a level with their biases: 9ab + b and 9bb + b.
    pairs = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    expected = sum(9 * a * b + b + 9 * b * b + b for a, b in pairs)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == expected == 18_842_048


def test_equals_the_functional_form():
    encoder = _encoder(in_channels=3).eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    weights = list(encoder.parameters())
    x = torch.randn(2, 3, 52, 44)
    expected, level = [], x
    for i in range(3):
        if i:
            level = F.max_pool2d(level, 2)
        for j in (4 * i, 4 * i + 2):
            level = F.relu(F.conv2d(level, weights[j], weights[j + 1]))
        expected.append(level)
    feats = encoder(x)
    assert len(feats) == 3
    for feat, reference in zip(feats, expected):
        torch.testing.assert_close(feat, reference)


@pytest.mark.parametrize(('depth', 'smallest', 'step'), [(1, 5, 1), (2, 18, 2), (3, 44, 4)])
def test_takes_every_valid_size_and_no_other(depth, smallest, step):
    encoder = _encoder((2,) * depth)
    for size in range(1, 61):
        x = torch.zeros(1, 1, size, 60)
        if size in range(smallest, 61, step):
            assert encoder(x)[0].shape == (1, 2, size - 4, 56)
        else:
            with pytest.raises(ValueError, match=f'no height of {size} '):
                encoder(x)


def test_a_bad_size_names_the_nearest_valid_ones_of_each_dimension():
    with pytest.raises(ValueError, match=r'no height of 50 \(nearest valid: 48 and 52\) and no width of 9 \(smallest '):
        _encoder()(torch.zeros(1, 1, 50, 9))
    with pytest.raises(ValueError, match=r'depth 5 takes no width of 512 \(nearest valid: 508 and 524\)'):
        _encoder((1, 1, 1, 1, 1))(torch.zeros(1, 1, 572, 512))


def test_every_parameter_learns():
    encoder = _encoder((16, 16, 16))
    encoder(torch.randn(2, 1, 44, 44))[-1].sum().backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize('initialise', [False, True])
def test_weights_are_drawn_as_he_et_al_do(initialise):
    encoder = _encoder((64, 128), in_channels=3)
    if initialise:  # what mmengine's Runner calls: it changes nothing
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        encoder.init_weights()
        assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    for conv in (module for module in encoder.modules() if isinstance(module, nn.Conv2d)):
        assert torch.count_nonzero(conv.bias) == 0
        std, count = math.sqrt(2 / (9 * conv.in_channels)), conv.weight.numel()
        # Within four standard errors of the mean and of the standard deviation of a normal sample.
        assert abs(conv.weight.mean()) < 4 * std / math.sqrt(count)
        assert abs(conv.weight.std() / std - 1) < 4 / math.sqrt(2 * count)
        # A uniform distribution of that deviation would stop at sqrt(3).
        assert conv.weight.abs().max() > 2.5 * std


def test_init_cfg_takes_over():
    encoder = _encoder(init_cfg=dict(type='Constant', layer='Conv2d', val=0.5))
    encoder.init_weights()
    assert torch.all(encoder.levels[0][0].weight == 0.5)


def test_dropout_on_the_last_two_levels_in_training_alone():
    encoder = _encoder().eval()
    x = torch.randn(1, 1, 52, 52)
    still = encoder(x)
    assert all(torch.equal(a, b) for a, b in zip(still, encoder(x)))
    encoder.train()
    first, second, third = encoder(x)
    assert torch.equal(first, still[0])
    positive = still[1] > 0
    kept = second[positive] > 0
    torch.testing.assert_close(second[positive][kept], 2 * still[1][positive][kept])
    assert 0.45 < kept.float().mean() < 0.55
    assert not torch.equal(third, encoder(x)[2])
    # Single values are dropped and not whole channels.
    assert len(set((second > 0).flatten(2).float().mean(2).flatten().tolist())) > 2


def test_the_coarsest_level_reads_the_dropped_map():
    encoder = _encoder((2, 4), dropout_ratio=0.5)
    feats = encoder(torch.randn(1, 1, 30, 30))
    encoder.eval()
    below = encoder.levels[1](F.max_pool2d(feats[0], 2))
    kept = feats[1] > 0
    torch.testing.assert_close(feats[1][kept], 2 * below[kept])


def test_without_dropout_training_is_no_different():
    encoder = _encoder(dropout_ratio=0.0)
    x = torch.randn(1, 1, 44, 44)
    assert all(torch.equal(a, b) for a, b in zip(encoder(x), encoder.eval()(x)))


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(channels=()), ValueError, 'at least one'),
        (dict(dropout_ratio=1.5), ValueError, '1.5'),
        (dict(dropout=0.1), TypeError, 'dropout'),
    ],
)
def test_options_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        _encoder(**options)
