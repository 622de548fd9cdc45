import time
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from torch import nn

from deepunetto_mm.planning import timed_step


@pytest.mark.parametrize(('workers', 'expected'), [(0, 2 * 0.5 + 3), (1, 3.0), (4, 3.0)])
def test_the_quickest_step_after_the_first_by_a_clock_of_our_own(monkeypatch, workers, expected):
    """A picture takes half a second to read, steps take 9, 4, 3 and 5 seconds, validations 2, 1 and 6."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, 'monotonic', lambda: clock.now)

    def passes(seconds):
        clock.now += seconds

    class Pictures:
        def __init__(self, seconds):
            self.seconds = seconds

        def __len__(self):
            return 7

        def __getitem__(self, index):
            passes(self.seconds)
            return dict(inputs=index)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps, self.tests = iter([9, 4, 3, 5]), iter([2, 1, 6])

        def train_step(self, data, optimizer):
            assert len(data['inputs']) == 2
            passes(next(self.steps))

        def val_step(self, data):
            passes(next(self.tests))

    datasets = iter([Pictures(0.5), Pictures(0.0)])
    monkeypatch.setattr(timed_step.DATASETS, 'build', lambda cfg: next(datasets))
    monkeypatch.setattr(timed_step.MODELS, 'build', lambda cfg: Network())
    monkeypatch.setattr(timed_step, 'build_optim_wrapper', lambda model, cfg: None)
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=2, num_workers=workers, dataset={}),
            val_dataloader=dict(dataset={}),
            model={},
            optim_wrapper={},
            default_hooks={},
        )
    )
    # After three steps 19 seconds have gone, more than are given: the fourth is not tried.
    assert timed_step.time_step(cfg) == (expected, 1.0)
