"""What of a run's log is printed: the log file has everything."""

from __future__ import annotations

import functools
import logging
import statistics
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

import torch
from mmengine.logging import MMLogger
from torch import nn

# Hundreds of lines of mmengine and mmseg, before the first step.
_FILE_ALONE = (
    'Config:',
    'Distributed training is not used',
    'Hooks will be executed',
    'System environment:',
    'backbone out_',
    'paramwise_options',
)


@contextmanager
def quiet_terminal() -> Iterator[None]:
    """Runs that begin meanwhile write environment, config, hooks and options of parameters to their log file alone."""
    original = MMLogger.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.log_file is not None:
            for handler in self.handlers:
                if type(handler) is logging.StreamHandler:  # and not a file, which is one too
                    handler.addFilter(_is_for_people)

    MMLogger.__init__ = init
    try:
        yield
    finally:
        MMLogger.__init__ = original


def mean_and_spread(values: Sequence[Optional[float]]) -> str:
    """Mean and sample standard deviation of several runs; a dash if the figure is absent."""
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return '–'
    mean = f'{statistics.fmean(numbers):.2f}'
    return mean if len(numbers) == 1 else f'{mean} ± {statistics.stdev(numbers):.2f}'


def _is_for_people(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not record.getMessage().lstrip('-\n ').startswith(_FILE_ALONE)


def describe_run(runner: Any) -> str:
    """The lines that a person wants to see of what :func:`quiet_terminal` leaves out."""
    lines = [f'{runner.cfg.filename}: results are in {runner.work_dir}']
    if isinstance(runner.model, nn.Module):  # with a strategy it is built later
        count = sum(parameter.numel() for parameter in runner.model.parameters())
        device = next(runner.model.parameters()).device
        lines.append(f'{count / 1e6:.2f} million parameters on {device}, PyTorch {torch.__version__}')
    lines.append(f'environment, config and options of parameters: {runner.logger.log_file}')
    return '\n'.join(lines)
