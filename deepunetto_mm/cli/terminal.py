"""What a person sees of a run in the terminal: a part of the log, whose file has everything, and a progress bar."""

import functools
import logging
import statistics
import sys
import time
import warnings
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
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


@contextmanager
def progress_bar(runner: Any, console: Optional[Console] = None) -> Iterator[None]:
    """Training, validation and test of a run show a bar with the time left, below the lines of the log.

    Args:
        runner: mmengine's Runner, before it runs.
        console: Where to draw. By default the terminal; without one nothing is drawn, nor by processes but the first.
    """
    if console is None:
        if not sys.stdout.isatty() or not is_main_process():
            yield
            return
        console = Console()
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # It is drawn by the hook: a thread would be copied into the loaders' workers, with its locks.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        runner.register_hook(_ProgressHook(bar))
        # Progress prints above the bar what is written to sys.stdout, which it has replaced.
        printing = [handler for handler in runner.logger.handlers if type(handler) is logging.StreamHandler]
        streams = [handler.setStream(sys.stdout) for handler in printing]
        try:
            yield
        finally:
            for handler, stream in zip(printing, streams):
                handler.setStream(stream or sys.__stdout__)


_OF_MODE = dict(train='training', val='validation', test='test')


class _ProgressHook(Hook):
    priority = 'VERY_LOW'

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.tasks: dict[str, TaskID] = {}
        self.drawn = 0.0

    def _start(self, what: str, total: int, done: int = 0) -> None:
        self.tasks[what] = self.bar.add_task(what, total=total, completed=done)
        self.bar.refresh()

    def _show(self, what: str, done: int) -> None:
        self.bar.update(self.tasks[what], completed=done)
        if time.monotonic() - self.drawn > 0.2:
            self.bar.refresh()
            self.drawn = time.monotonic()

    def _end(self, what: str) -> None:
        self.bar.remove_task(self.tasks.pop(what))

    def before_train(self, runner: Any) -> None:
        self._start(_OF_MODE['train'], runner.max_iters, runner.iter)

    def after_train(self, runner: Any) -> None:
        self._end(_OF_MODE['train'])

    def _before_epoch(self, runner: Any, mode: str = 'train') -> None:
        if mode != 'train':  # whose bar is of all epochs
            self._start(_OF_MODE[mode], len(getattr(runner, f'{mode}_dataloader')))

    def _after_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        self._show(_OF_MODE[mode], runner.iter + 1 if mode == 'train' else batch_idx + 1)

    def _after_epoch(self, runner: Any, mode: str = 'train') -> None:
        if mode != 'train':
            self._end(_OF_MODE[mode])
