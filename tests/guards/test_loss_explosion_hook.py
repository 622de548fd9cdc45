"""An explosion is said, once, with the part that grew."""

from types import SimpleNamespace

import pytest
import torch

from deepunetto_mm.guards import LossExplosionHook


def _run(hook, totals, parts=None):
    """Warnings by step for the losses of a run."""
    warnings = {}
    runner = SimpleNamespace(
        iter=0,
        optim_wrapper=SimpleNamespace(get_lr=lambda: dict(lr=[0.01])),
        logger=SimpleNamespace(warning=lambda text: warnings.__setitem__(runner.iter + 1, text)),
    )
    for runner.iter, total in enumerate(totals):
        outputs = dict(loss=torch.tensor(float(total)), acc=torch.tensor(1e6 * (runner.iter + 1)))
        for name, values in (parts or {}).items():
            if values[runner.iter] is not None:
                outputs[name] = torch.tensor(float(values[runner.iter]))
        hook.after_train_iter(runner, runner.iter, None, outputs)
    return warnings


def test_names_the_part_that_grew():
    quiet, loud = [1.0] * 20, [2.0] * 4 + [1.0] * 12 + [50.0] * 4
    total = [a + b for a, b in zip(quiet, loud)]
    warnings = _run(
        LossExplosionHook(factor=10, window=20, interval=4), total, {'decode.loss_ce': quiet, 'fine.loss_cls': loud}
    )
    assert list(warnings) == [20]
    assert warnings[20].startswith(
        'the loss has grown from 2, the median of 16 steps, to 51, the mean of the last 4, at a learning rate of 0.01. '
        'Its parts, largest growth first: fine.loss_cls 1 -> 50, decode.loss_ce 1 -> 1. '
    )


def test_is_said_once_a_window():
    warnings = _run(LossExplosionHook(factor=10, window=8, interval=2), [1] * 8 + [100] * 30)
    assert list(warnings) == [10]
    # The window begins anew after it, and 100 has become usual: another explosion is another warning.
    assert list(_run(LossExplosionHook(factor=10, window=8, interval=2), [1] * 8 + [100] * 10 + [5000] * 2)) == [10, 20]


@pytest.mark.parametrize(
    'totals',
    [[3.0] * 6 + [9.9 * 3] * 2, [8, 7, 6, 5, 4, 3, 2, 1], [0.0] * 6 + [1.0] * 2, [1] * 4 + [100] * 2],
    ids=['below the factor', 'falling', 'from zero', 'window not full'],
)
def test_is_quiet(totals):
    assert _run(LossExplosionHook(factor=10, window=8, interval=2), totals) == {}


def test_a_part_that_comes_late_is_left_out():
    # Some losses begin after a while; there is nothing to compare them with.
    late = {'loss_late': [None, None, 8.0, 8.0]}
    warnings = _run(LossExplosionHook(factor=2, window=4, interval=2), [1, 1, 9, 9], late)
    assert list(warnings) == [4]
    assert 'loss_late' not in warnings[4]


@pytest.mark.parametrize('options', [dict(factor=1), dict(window=10, interval=10), dict(interval=0)])
def test_unknown_options(options):
    with pytest.raises(ValueError, match='LossExplosionHook: '):
        LossExplosionHook(**options)
