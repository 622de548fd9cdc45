"""A progress bar in the terminal, below the lines of the log."""

import logging
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


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
