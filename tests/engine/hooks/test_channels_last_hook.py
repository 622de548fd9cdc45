from types import SimpleNamespace

import torch
from torch import nn

from deepunetto_mm.registry import HOOKS


def test_weights_and_outputs_become_channels_last_and_keep_their_values():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    picture = torch.rand(2, 3, 9, 11)
    expected = model.eval()(picture)
    HOOKS.build(dict(type='deepunetto_mm.ChannelsLastHook')).before_run(SimpleNamespace(model=model))
    output = model(picture)
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in (model[0], model[3]))
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, expected)
