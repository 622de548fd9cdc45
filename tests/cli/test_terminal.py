"""The terminal has what a person reads, and the log file everything."""

import io
import logging
import re
import sys
import warnings

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner
from rich.console import Console

from deepunetto_mm.cli.terminal import describe_run, mean_and_spread, progress_bar, quiet_terminal


@pytest.fixture
def make_logger(tmp_path):
    names = []

    def make(name, **options):
        names.append(name)
        return MMLogger.get_instance(name, logger_name=name, **options)

    yield make
    for name in names:
        MMLogger._instance_dict.pop(name, None)


LONG = [
    '\n' + '-' * 60 + '\nSystem environment:\n    sys.platform: linux',
    'Config:\na = 1',
    'paramwise_options -- x:lr=1',
]


def test_long_messages_are_in_the_file_alone(make_logger, tmp_path, capsys):
    with quiet_terminal():
        logger = make_logger('quiet', log_file=str(tmp_path / 'a.log'))
    for message in [*LONG, 'Config: of 3 parts, short']:
        print_log(message, logger)
    print_log('Epoch(train) [1]', logger)
    print_log('Config: a warning', logger, logging.WARNING)
    printed = capsys.readouterr().out
    assert 'Epoch(train) [1]' in printed
    assert 'Config: a warning' in printed
    written = (tmp_path / 'a.log').read_text()
    for message in LONG:
        assert message in written
        assert message.splitlines()[-1] not in printed


@pytest.mark.parametrize('inside', [True, False])
def test_loggers_without_a_file_and_later_ones_print_everything(make_logger, tmp_path, capsys, inside):
    if inside:
        with quiet_terminal():
            logger = make_logger('loud')
    else:
        with quiet_terminal():
            pass
        logger = make_logger('later', log_file=str(tmp_path / 'b.log'))
    print_log(LONG[1], logger)
    assert 'a = 1' in capsys.readouterr().out


def test_what_the_config_says_itself_is_not_shown(make_logger, tmp_path, capsys):
    line = 'fine_branch.fine_backbone.a is duplicate. It is skipped since bypass_duplicate=True'
    with quiet_terminal():
        loggers = [make_logger('bare'), make_logger('filed', log_file=str(tmp_path / 'c.log'))]
    for logger in loggers:
        print_log(line, logger, logging.WARNING)
    assert 'duplicate' not in capsys.readouterr().out
    assert line in (tmp_path / 'c.log').read_text()


def test_a_run_is_described(repository, tmp_path, capsys):
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    cfg.work_dir = str(tmp_path)
    with quiet_terminal():
        runner = Runner.from_cfg(cfg)
    text = describe_run(runner)
    count = sum(parameter.numel() for parameter in runner.model.parameters())
    assert f'tiny_config.py: results are in {tmp_path}\n{count / 1e6:.2f} million parameters on cpu' in text
    log = text.rpartition(': ')[2]
    with open(log) as file:
        content = file.read()
    assert 'System environment' in content
    assert 'region_proposer' in content
    assert len(capsys.readouterr().out.splitlines()) < 15


def test_warnings_of_the_stack_are_not_shown():
    with pytest.warns(UserWarning, match='another') as shown, quiet_terminal():
        warnings.warn('Default ``avg_non_ignore`` is False, if you would like to', stacklevel=1)
        warnings.warn('another', stacklevel=1)
    assert [str(warning.message) for warning in shown] == ['another']


def test_mean_and_spread():
    # Mean 92; squared deviations 4 + 0 + 4 over two degrees of freedom.
    assert mean_and_spread([90.0, 92.0, 94.0]) == '92.00 ± 2.00'
    assert mean_and_spread([91.25]) == '91.25'
    assert mean_and_spread([91.25, None]) == mean_and_spread([]) == '–'


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
