from dataclasses import replace

import pytest
import torch

from deepunetto_mm.planning import budget
from deepunetto_mm.planning.budget import (
    epochs_of,
    fit,
    fit_to_memory,
    fit_to_steps,
    in_bfloat16,
    with_smaller_batches,
    with_smaller_crops,
)
from deepunetto_mm.planning.decisions import Decisions
from deepunetto_mm.utils.errors import UsageError

PARTS = Decisions(
    encoder='efficientnet-lite0',
    luminance=False,
    scale=1.0,
    crop=(320, 320),
    parts=True,
    batch=8,
    repeats=1,
    min_area=4,
    class_weight=[1.0, 1.0],
    dice=True,
    names='map',
    name_weight=None,
    window=None,
    crop_size=48,
    adapt=None,
    jitter=None,
    any_way_up=False,
    proposer='components',
    learning_rate=0.0,
    workers=0,
    tiles=False,
    encoder_rate=0.3,
    bf16=False,
)
WHOLE = replace(PARTS, parts=False)


def test_few_steps_are_doubled_by_smaller_crops():
    assert with_smaller_crops(PARTS, 2000) is None
    smaller = with_smaller_crops(PARTS, 1999)
    assert smaller.crop == (224, 224)  # 320 / 1.41 = 226
    assert with_smaller_crops(replace(smaller, crop=(192, 192)), 1999) is None
    assert with_smaller_crops(WHOLE, 500) is None


def test_few_steps_are_doubled_by_smaller_batches():
    assert (WHOLE.steps(184), WHOLE.steps(3)) == (23, 1)
    smaller = with_smaller_batches(WHOLE, 1999)
    assert (smaller.batch, smaller.steps(184)) == (4, 46)
    assert smaller.why['batch'] == '4 pictures a step, which leave time for more than 1999 steps'
    assert with_smaller_batches(WHOLE, 2000) is None
    assert with_smaller_batches(smaller, 1999) is None
    assert with_smaller_batches(replace(WHOLE, names='picture', batch=16), 500) is None
    assert with_smaller_batches(replace(WHOLE, names='crops'), 500) is None


@pytest.mark.parametrize(
    ('batch', 'rate', 'root'), [(8, 1e-3, ''), (4, 1e-3, ''), (1, 5e-4, ', times the root of 1/4')]
)
def test_the_learning_rate_is_that_of_the_shipped_configs_down_to_four_pictures(batch, rate, root):
    chosen = fit_to_steps(replace(WHOLE, batch=batch), 1000)
    assert chosen.learning_rate == rate
    shipped = 'that of the shipped configs for a batch of 4 to 8 and at least 1000 steps'
    assert chosen.why['learning_rate'] == shipped + root


def test_the_learning_rate_of_few_steps_or_from_scratch_and_of_a_classifier():
    assert fit_to_steps(WHOLE, 999).learning_rate == 2e-3
    assert fit_to_steps(replace(WHOLE, encoder='scratch'), 1000).learning_rate == 2e-3
    assert fit_to_steps(replace(WHOLE, names='picture', batch=4), 1000).learning_rate == 1e-3  # a quarter of 16


def test_bfloat16_has_its_reason():
    narrow = in_bfloat16(WHOLE, 'quicker')
    assert (narrow.bf16, narrow.why) == (True, dict(precision='bfloat16: quicker'))


@pytest.mark.parametrize(
    ('minutes', 'crop', 'batch', 'epochs', 'rate'),
    [
        # A step of 320x320 pixels takes 4.27 s: in 11040 seconds, less 20 for validations, 129 epochs of 20 steps.
        (200, 320, 8, 129, 1e-3),
        # 51 epochs would be 1020 steps; of 224x224 pixels a step takes 2.09 s.
        (80, 224, 8, 105, 1e-3),
        # 78 epochs would be 1560 steps, and are 3120 of four pictures.
        (60, 224, 4, 78, 1e-3),
        (10, 224, 4, 12, 2e-3),
    ],
)
def test_what_a_step_decides(monkeypatch, minutes, crop, batch, epochs, rate):
    """In bfloat16 a step takes half of its time, which is proportional to its pixels."""
    monkeypatch.setattr(
        budget,
        'time_step',
        lambda chosen: (chosen.batch * chosen.crop[0] * chosen.crop[1] / 96000 * (1 - chosen.bf16 / 2), 0.5),
    )
    chosen, seconds, fitting = fit(lambda chosen, *rest: chosen, PARTS, minutes, listed=160, validated=10)
    assert chosen.bf16
    assert chosen.why['precision'] == 'bfloat16: a step takes 50 % of the seconds of float32 here'
    assert (chosen.crop[0], chosen.batch, chosen.learning_rate) == (crop, batch, rate)
    assert seconds == pytest.approx((batch * crop * crop * 0.5 / 96000, 0.5))
    assert fitting[0] == epochs


def test_epochs_fit_the_minutes():
    epochs, interval, why = epochs_of(10, steps=20, step_seconds=1.0, val_seconds=10)
    # 552 seconds, of which four validations take 40.
    assert (epochs, interval) == (25, 7)
    assert why == '20 steps of 1.00 s and 4 validations of 10 s in 10 minutes'
    assert epochs_of(10, 20, 1.0, 100)[:2] == (22, 22)  # one validation
    assert epochs_of(0.01, 20, 1.0, 1)[:2] == (1, 1)
    assert epochs_of(1000, 20, 0.1, 0)[0] == 300
    assert epochs_of(1000, 2, 0.1, 0)[0] == 2000


def _timed_with(pixels, error):
    """A step that takes one second, and is out of memory if a batch has more pixels than these."""

    def timed(chosen):
        if chosen.batch * chosen.crop[0] * chosen.crop[1] > pixels:
            raise error
        return 1.0, 0.5

    return timed


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB.'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_step_that_does_not_fit_in_the_memory_is_made_smaller(error):
    chosen, seconds = fit_to_memory(PARTS, _timed_with(8 * 320 * 320, error))
    assert (chosen, seconds) == (PARTS, (1.0, 0.5))
    chosen, _ = fit_to_memory(PARTS, _timed_with(8 * 320 * 320 - 1, error))
    assert (chosen.crop, chosen.batch) == ((224, 224), 8)
    assert chosen.why == dict(crop='parts of pictures, small ones, since more does not fit in the memory')
    chosen, _ = fit_to_memory(PARTS, _timed_with(4 * 192 * 192, error))
    assert (chosen.crop, chosen.batch) == ((192, 192), 4)
    assert chosen.why['batch'] == '4 pictures a step, since more does not fit in the memory'
    with pytest.raises(
        UsageError, match='a step of 4 pictures of 192x192 pixels, the smallest of a plan, does not fit'
    ):
        fit_to_memory(PARTS, _timed_with(4 * 192 * 192 - 1, error))


def test_another_error_of_a_step_is_none_of_the_memory():
    with pytest.raises(RuntimeError, match='shapes'):
        fit_to_memory(PARTS, _timed_with(0, RuntimeError('shapes differ')))
