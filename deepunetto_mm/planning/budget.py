"""What follows from the seconds of a step: precision, crops, batches, epochs and the learning rate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Optional

import torch
from mmengine.config import Config

from deepunetto_mm.utils.errors import UsageError

from .decisions import Decisions
from .timed_step import time_step

# Of the seconds of a step in float32: bfloat16 is chosen where it takes less.
_QUICKER = 0.9
# Steps of a training: fewer are doubled by smaller crops and batches; and fewer still learn at twice the rate.
_ENOUGH_STEPS, _FEW_STEPS = 2000, 1000
_SMALLEST_CROP, _SMALLEST_BATCH = 192, 4


def fit(
    write: Callable[[Decisions, int, int, str], Config], chosen: Decisions, minutes: float, listed: int, validated: int
) -> tuple[Decisions, tuple[float, float], tuple[int, int, str]]:
    """Try a step, and choose the epochs that fit the minutes.

    Args:
        write: Writes the config of decisions, epochs, interval of validations and reason.
        chosen: The decisions.
        minutes: For the training.
        listed: Pictures of an epoch.
        validated: Pictures of a validation.

    Returns:
        The decisions, which may have changed; the seconds of :func:`time_step`; and what :func:`epochs_of` says.
    """

    def timed(chosen: Decisions) -> tuple[float, float]:
        return time_step(write(chosen, 1, 1, 'not timed yet'))

    def fitting(chosen: Decisions, seconds: tuple[float, float]) -> tuple[int, int, str]:
        return epochs_of(minutes, chosen.steps(listed), seconds[0], seconds[1] * validated)

    chosen, seconds = fit_to_memory(fit_to_steps(chosen, _FEW_STEPS), timed)
    narrow = timed(in_bfloat16(chosen, 'not timed yet'))
    if narrow[0] < _QUICKER * seconds[0]:
        share = round(100 * narrow[0] / seconds[0])
        chosen, seconds = in_bfloat16(chosen, f'a step takes {share} % of the seconds of float32 here'), narrow
    for smaller in (with_smaller_crops, with_smaller_batches):
        more = smaller(chosen, chosen.steps(listed) * fitting(chosen, seconds)[0])
        if more is not None:
            chosen, seconds = more, timed(more)
    fits = fitting(chosen, seconds)
    return fit_to_steps(chosen, chosen.steps(listed) * fits[0]), seconds, fits


def fit_to_memory(
    chosen: Decisions, timed: Callable[[Decisions], tuple[float, float]]
) -> tuple[Decisions, tuple[float, float]]:
    """The decisions, with smaller crops or batches if the memory is not enough, and the seconds that ``timed`` says.

    Raises:
        UsageError: If the smallest ones do not fit either.
    """
    while True:
        try:
            return chosen, timed(chosen)
        except (RuntimeError, MemoryError) as error:
            # Of the CPU's memory torch says so in a RuntimeError.
            known = (torch.cuda.OutOfMemoryError, MemoryError)
            if not isinstance(error, known) and 'DefaultCPUAllocator' not in str(error):
                raise
            smaller = with_smaller_crops(chosen, 0) or with_smaller_batches(chosen, 0)
            if smaller is None:
                size = f'{chosen.batch} pictures of {chosen.crop[1]}x{chosen.crop[0]} pixels'
                raise UsageError(
                    f'a step of {size}, the smallest of a plan, does not fit in the memory: end other programs that '
                    f'use it, or make the pictures smaller ({str(error).partition(". ")[0]})'
                ) from error
        key = 'crop' if smaller.crop != chosen.crop else 'batch'
        what = smaller.why[key].partition(', which')[0]
        chosen = replace(smaller, why=dict(chosen.why, **{key: f'{what}, since more does not fit in the memory'}))


def fit_to_steps(chosen: Decisions, steps: int) -> Decisions:
    """The decisions with the learning rate of a training of this number of steps."""
    fast = chosen.encoder == 'scratch' or chosen.names == 'picture' or steps < _FEW_STEPS
    batch, batches = (16, '16') if chosen.names == 'picture' else (_SMALLEST_BATCH, '4 to 8')
    of_steps = (
        ''
        if chosen.encoder == 'scratch' or batch == 16
        else f' and {"fewer than" if fast else "at least"} {_FEW_STEPS} steps'
    )
    reason = f'that of the shipped configs for a batch of {batches}{of_steps}'
    if chosen.batch < batch:
        reason += f', times the root of {chosen.batch}/{batch}'
    rate = float(f'{(2e-3 if fast else 1e-3) * math.sqrt(min(1.0, chosen.batch / batch)):.2g}')
    return replace(chosen, learning_rate=rate, why=dict(chosen.why, learning_rate=reason))


def in_bfloat16(chosen: Decisions, reason: str) -> Decisions:
    """The decisions, trained in bfloat16."""
    return replace(chosen, bf16=True, why=dict(chosen.why, precision=f'bfloat16: {reason}'))


def with_smaller_crops(chosen: Decisions, steps: int) -> Optional[Decisions]:
    """Half the pixels a crop for twice the steps, if a training has few and its crops are parts of pictures."""
    if not chosen.parts or steps >= _ENOUGH_STEPS or min(chosen.crop) <= _SMALLEST_CROP:
        return None
    height, width = (max(_SMALLEST_CROP, 32 * round(side / math.sqrt(2) / 32)) for side in chosen.crop)
    why = dict(chosen.why, crop=f'parts of pictures, small ones, which leave time for more than {steps} steps')
    return replace(chosen, crop=(height, width), why=why)


def with_smaller_batches(chosen: Decisions, steps: int) -> Optional[Decisions]:
    """Half the pictures a step for twice the steps, if a training has few.

    Not if names are learnt from whole pictures or crops alone: there may be one in a picture, and four are too few for
    their BatchNorm.
    """
    if chosen.names in ('picture', 'crops') or steps >= _ENOUGH_STEPS or chosen.batch < 2 * _SMALLEST_BATCH:
        return None
    batch = chosen.batch // 2
    why = dict(chosen.why, batch=f'{batch} pictures a step, which leave time for more than {steps} steps')
    return replace(chosen, batch=batch, why=why)


def epochs_of(
    minutes: float, steps: int, step_seconds: float, val_seconds: float, most: int = 300
) -> tuple[int, int, str]:
    """Epochs that fit the minutes, epochs from one validation to the next, and the reason.

    Args:
        minutes: For the training.
        steps: Steps of an epoch.
        step_seconds: Of a step.
        val_seconds: Of a validation.
        most: More epochs would not help; a small dataset may have more, up to 4000 steps.
    """
    seconds = minutes * 60 * 0.92  # the rest is for checkpoints, logs and the first data
    rounds = 4 if 4 * val_seconds < 0.2 * seconds else 1
    epochs = int(max(1, (seconds - rounds * val_seconds) // (steps * step_seconds)))
    most = max(most, math.ceil(4000 / steps))
    reason = (
        f'{steps} steps of {step_seconds:.2f} s and {rounds} validations of {val_seconds:.0f} s in {minutes:g} minutes'
    )
    if epochs > most:
        reason = f'no more than {most}, though {epochs} would fit: ' + reason
        epochs = most
    return epochs, max(1, math.ceil(epochs / rounds)), reason
