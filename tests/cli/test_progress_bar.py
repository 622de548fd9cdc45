"""The progress bar of a run, below the lines of the log."""

import io
import logging
import re
import sys

import pytest
from rich.console import Console

from deepunetto_mm.cli.progress_bar import progress_bar


class _Run:
    """What the bar needs of a runner: 4 iterations, and a validation of 2 batches."""

    max_iters, iter = 4, 0
    val_dataloader = test_dataloader = range(2)

    def __init__(self, logger):
        self.logger, self.hooks = logger, []

    def register_hook(self, hook):
        self.hooks.append(hook)


@pytest.fixture
def running():
    """A run whose log is printed, and its handler."""
    logger = logging.Logger('run')
    handler = logging.StreamHandler(sys.stdout)
    logger.addHandler(handler)
    return _Run(logger), handler


def test_the_bar_counts_iterations_and_batches_below_the_log(running):
    run, handler = running
    drawn = Console(file=io.StringIO(), force_terminal=True, width=80)
    before = sys.stdout, handler.stream
    with progress_bar(run, drawn):
        (hook,) = run.hooks
        run.iter = 1  # resumed
        hook.before_train(run)
        hook.after_train_iter(run, 0)
        hook.before_val_epoch(run)
        hook.drawn = 0.0
        hook.after_val_iter(run, 0)
        run.logger.info('Iter(val) [1/2]')
        assert [(task.description, task.completed, task.total) for task in hook.bar.tasks] == [
            ('training', 2, 4),
            ('validation', 1, 2),
        ]
        hook.after_val_epoch(run)
        hook.after_train(run)
        assert hook.bar.tasks == []
    assert (sys.stdout, handler.stream) == before
    printed = drawn.file.getvalue()
    plain = re.sub(r'\x1b\[[\d;?]*\w', '', printed)
    assert re.search(r'Iter\(val\) \[1/2\]\n.*training +\S* 2/4 .*\n.*validation \S* 1/2 ', plain)
    assert printed.rfind('\x1b[?25h') > printed.rfind('\x1b[?25l') > -1  # the cursor is back


def test_an_error_gives_the_terminal_back(running):
    run, handler = running
    before = sys.stdout, handler.stream
    run.max_iters = 'unknown'  # of which no bar can be drawn
    with pytest.raises(TypeError), progress_bar(run, Console(file=io.StringIO(), force_terminal=True)):
        run.hooks[0].before_train(run)
    assert (sys.stdout, handler.stream) == before


def test_without_a_terminal_there_is_no_bar(running):
    with progress_bar(running[0]):
        assert running[0].hooks == []
