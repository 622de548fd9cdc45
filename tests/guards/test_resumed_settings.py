from types import SimpleNamespace

import torch
from mmengine.optim import MultiStepLR, OptimWrapper

from deepunetto_mm.guards.resumed_settings import overruled_settings


def _runner(lr=0.1, momentum=0.9, milestones=(2, 4)):
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=lr, momentum=momentum)
    return SimpleNamespace(
        optim_wrapper=OptimWrapper(optimizer), param_schedulers=[MultiStepLR(optimizer, milestones=list(milestones))]
    )


def _checkpoint(steps=0, **options):
    runner = _runner(**options)
    for _ in range(steps):
        runner.optim_wrapper.optimizer.step()
        runner.param_schedulers[0].step()
    return dict(
        optimizer=runner.optim_wrapper.state_dict(), param_schedulers=[s.state_dict() for s in runner.param_schedulers]
    )


def test_what_schedules_have_changed_by_then_is_no_difference():
    assert overruled_settings(_runner(), _checkpoint(steps=3)) == []


def test_differences_are_said_once():
    said = overruled_settings(_runner(lr=0.2, milestones=(2, 5)), _checkpoint(steps=3, momentum=0.8))
    assert set(said) == {
        'momentum 0.8 (config: 0.9)',
        'lr 0.1 (config: 0.2)',
        'schedule of lr: milestones [2, 4] (config: [2, 5])',
    }
    assert len(said) == 3


def test_another_number_of_schedules():
    checkpoint = _checkpoint()
    checkpoint['param_schedulers'] *= 2
    assert '2 schedules in the checkpoint (1 in the config)' in overruled_settings(_runner(), checkpoint)


def test_a_checkpoint_of_weights_alone():
    assert overruled_settings(_runner(), {}) == []
