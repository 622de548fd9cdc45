from types import SimpleNamespace

import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner.amp import autocast
from mmengine.runner.priority import get_priority
from torch import nn

from deepunetto_mm.registry import HOOKS


class Segmentor(BaseModel):
    def __init__(self):
        super().__init__()
        self.decode_head = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.decode_head(inputs)


def _during_the_test(**options):
    runner = SimpleNamespace(model=Segmentor())
    model = runner.model
    hook = HOOKS.build(dict(type='deepunetto_mm.InferenceHook', **options))
    hook.before_test_epoch(runner)
    tested = runner.model
    with autocast(enabled=False):  # as in mmengine's loop
        output = tested.test_step(dict(inputs=torch.rand(1, 3, 4, 4)))
    hook.after_test_epoch(runner, {})
    assert runner.model is model
    assert 'test_step' not in vars(tested)
    assert model(torch.rand(1, 3, 4, 4)).dtype == torch.float32
    return tested, output


def test_the_test_sees_a_prepared_copy_and_the_model_comes_back():
    tested, output = _during_the_test()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in tested.modules())
    assert output.dtype == torch.float32


def test_bfloat16_holds_during_the_test_alone():
    assert _during_the_test(bf16=True)[1].dtype == torch.bfloat16


def test_the_copy_is_made_after_averaged_weights_are_put_in():
    hook = HOOKS.build(dict(type='deepunetto_mm.InferenceHook'))
    assert get_priority(hook.priority) > get_priority(EMAHook.priority)
