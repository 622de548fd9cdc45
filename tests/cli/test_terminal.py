"""The terminal has what a person reads, and the log file everything."""

import logging
import warnings

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner

from deepunetto_mm.cli.terminal import describe_run, mean_and_spread, quiet_terminal


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
