import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from deepunetto_mm.registry import HOOKS


class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 8, 3)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.seen = {}

    def forward(self, inputs, mode='loss'):
        x = self.wide(inputs)
        y = self.depthwise(x)
        self.seen = dict(wide=x.dtype, depthwise=y.dtype)
        return dict(loss=y.square().mean())


@pytest.fixture
def run():
    model = Network()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))
    return SimpleNamespace(model=model, optim_wrapper=wrapper)


def test_a_step_is_that_of_float32_up_to_rounding(run):
    picture = torch.rand(2, 3, 9, 9)
    before, plain = copy.deepcopy(run.model), copy.deepcopy(run.model)
    plain.train_step(dict(inputs=picture), OptimWrapper(torch.optim.SGD(plain.parameters(), 0.1)))
    HOOKS.build(dict(type='deepunetto_mm.BFloat16Hook')).before_train(run)
    run.model.train_step(dict(inputs=picture), run.optim_wrapper)
    assert run.model.seen == dict(wide=torch.bfloat16, depthwise=torch.float32)
    for ours, theirs, first in zip(run.model.parameters(), plain.parameters(), before.parameters()):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours - first, theirs - first, rtol=0.05, atol=1e-4)
        assert (ours != first).any()


def test_outside_of_a_step_and_in_copies_it_is_float32(run):
    HOOKS.build(dict(type='deepunetto_mm.BFloat16Hook')).before_train(run)
    picture = torch.rand(1, 3, 9, 9)
    copied = copy.deepcopy(run.model)
    with torch.no_grad():
        run.model.depthwise.weight.zero_()
        run.model.depthwise.bias.zero_()
        assert run.model(picture)['loss'] == 0
        assert copied(picture)['loss'] > 0  # a copy does not use the weights of its original
    assert run.model.seen == dict(wide=torch.float32, depthwise=torch.float32)
