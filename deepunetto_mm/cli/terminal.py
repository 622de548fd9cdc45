"""What a person sees of a run in the terminal: a part of the log, whose file has everything."""

import functools
import logging
import statistics
import warnings
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
# When operators are imported that nothing here needs, and when a loss is built with the default that is wanted.
_OF_STACK = ('Fail to import ``MultiScaleDeformableAttention``', 'Default ``avg_non_ignore`` is False')


@contextmanager
def quiet_terminal() -> Iterator[None]:
    """Without warnings of the stack that concern nothing here.

    Runs that begin meanwhile write environment, config, hooks and options of parameters to their log file alone.
    """
    original = MMLogger.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        for handler in self.handlers:
            if type(handler) is logging.StreamHandler:  # and not a file, which is one too
                handler.addFilter(_is_news)
                if self.log_file is not None:
                    handler.addFilter(_is_for_people)

    MMLogger.__init__ = init
    try:
        with warnings.catch_warnings():
            for message in _OF_STACK:
                warnings.filterwarnings('ignore', message)
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


def _is_news(record: logging.LogRecord) -> bool:
    # A line for each of the kernels that an encoder and its second look share, as the config says.
    return not record.getMessage().endswith('is duplicate. It is skipped since bypass_duplicate=True')


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
