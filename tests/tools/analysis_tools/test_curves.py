"""Curves of runs: what is read from logs, and the picture."""

import json
import runpy
import sys

import cv2
import pytest
from mmengine.config import Config


@pytest.fixture
def write(tmp_path):
    """Write a log of one start of a run."""

    def log(run, start, *entries, rest=''):
        folder = tmp_path / run / start / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(''.join(json.dumps(entry) + '\n' for entry in entries) + rest)
        return str(tmp_path / run)

    return log


@pytest.fixture
def tool(repository, monkeypatch):
    path = repository / 'tools' / 'analysis_tools' / 'curves.py'

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['curves.py', *map(str, arguments)])
        runpy.run_path(str(path), run_name='__main__')

    run.read = runpy.run_path(str(path))['read_curves']
    return run


def _train(step, loss):
    return dict(loss=loss, iter=step, step=step)


def test_validation_stands_at_its_iteration(tool, write):
    # Every 20 iterations a loss, and a validation every 50.
    run = write('a', '1', _train(20, 3.0), _train(40, 2.0), dict(mIoU=50.0, step=50), _train(60, 1.0))
    curves = tool.read(run)
    assert curves['loss'] == ([20, 40, 60], [3.0, 2.0, 1.0])
    assert curves['mIoU'] == ([50], [50.0])


def test_validation_by_epoch_stands_at_the_last_iteration_before_it(tool, write):
    run = write('a', '1', _train(20, 3.0), dict(mIoU=50.0, step=1), _train(40, 2.0), dict(mIoU=float('nan'), step=2))
    assert tool.read(run)['mIoU'] == ([20], [50.0])


def test_what_was_resumed_replaces_what_was_lost(tool, write, tmp_path):
    write('a', '20260101_000000', _train(20, 3.0), dict(mIoU=1.0, step=20), _train(40, 2.0), dict(mIoU=2.0, step=40))
    run = write('a', '20260101_100000', _train(40, 5.0), dict(mIoU=3.0, step=40), rest='{"loss": 4')  # killed
    curves = tool.read(run)
    assert curves['loss'] == ([20, 40], [3.0, 5.0])
    assert curves['mIoU'] == ([20, 40], [1.0, 3.0])
    logs = sorted((tmp_path / 'a').glob('*/vis_data/scalars.json'))
    (tmp_path / 'a.log.jsonl').write_text(''.join(log.read_text() for log in logs))
    assert tool.read(tmp_path / 'a.log.jsonl') == curves


def test_draws_runs_into_one_picture(tool, write, tmp_path, capsys):
    runs = [write(name, '1', _train(20, 3.0), {'fine/PQ': 10 * len(name), 'step': 20}) for name in ('a', 'bb')]
    tool(*runs, '--out', tmp_path / 'out' / 'c.png')
    assert capsys.readouterr().out.splitlines() == [
        'a, iteration 20: loss 3, fine/PQ 10',
        'bb, iteration 20: loss 3, fine/PQ 20',
        f'curves: {tmp_path}/out/c.png',
    ]
    both = cv2.imread(str(tmp_path / 'out' / 'c.png'))
    tool(*runs, '--metrics', 'loss', '--out', tmp_path / 'one.png')
    assert both.shape[0] > cv2.imread(str(tmp_path / 'one.png')).shape[0] + 200  # a panel less


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['nowhere'], 'nowhere has no log of a training'), (['{run}', '--metrics', 'miou'], "no run has logged 'miou'")],
)
def test_what_is_missing_is_one_line(tool, write, capsys, arguments, message):
    run = write('a', '1', _train(20, 3.0), dict(mIoU=50.0, step=20))
    with pytest.raises(SystemExit) as stopped:
        tool(*(word.format(run=run) for word in arguments))
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith(f'error: {message}')


@pytest.mark.parametrize('name', ['deepunetto_nuclei.py', 'classifier_grocery.py'])
def test_configs_log_validation_by_iteration(repository, name):
    assert Config.fromfile(repository / 'configs' / name).default_hooks.logger.log_metric_by_epoch is False
