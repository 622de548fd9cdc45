import importlib.util
import json
import os
import runpy
import sys
from types import SimpleNamespace

import pytest

from deepunetto_mm.utils.errors import UsageError


@pytest.fixture
def tool(repository, monkeypatch, launch):
    """The tool, whose trainings are copies of this process and no new interpreters."""

    def start(command, stdout, **options):
        def train():
            sys.argv = command[1:]
            runpy.run_path(sys.argv[0], run_name='__main__')

        ((status, printed),) = launch(train, processes=1)
        stdout.write(printed)
        return SimpleNamespace(returncode=status)

    spec = importlib.util.spec_from_file_location('ablate', repository / 'tools' / 'analysis_tools' / 'ablate.py')
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'ablate', module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'subprocess', SimpleNamespace(run=start, STDOUT=None))
    return module


def _call(tool, monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *map(str, arguments)])
    tool.main()


def _log(folder, name, *entries, rest=''):
    path = folder / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(f'{json.dumps(entry)}\n' for entry in entries) + rest)


def test_a_variant_is_settings_or_another_config(tool):
    assert tool.Variant.parse('boxes: a.b=none c=2', 'x.py') == tool.Variant('boxes', 'x.py', ('a.b=none', 'c=2'))
    assert tool.Variant.parse('grey: y.py', 'x.py') == tool.Variant('grey', 'y.py')
    assert tool.Variant.parse('both: y.py c="[1, 2]"', 'x.py') == tool.Variant('both', 'y.py', ('c=[1, 2]',))
    for text in ('boxes', 'boxes:', ': a=1', 'boxes: a=1 b'):
        with pytest.raises(UsageError, match='NAME: KEY=VALUE'):
            tool.Variant.parse(text, 'x.py')


def test_the_last_validation_counts(tool, tmp_path):
    training = dict(lr=0.1, loss=1.0, step=1)
    _log(tmp_path, '20260101_000000', training, dict(mIoU=10.0, step=1), training, dict(mIoU=20.0, step=2))
    _log(tmp_path, '20260102_000000', training, dict(mIoU=30.0, time=0.5, data_time=0.1, step=3), training)
    assert tool.last_validation(tmp_path) == dict(mIoU=30.0)


def test_a_line_that_was_cut_off_is_left_out(tool, tmp_path):
    _log(tmp_path, '20260101_000000', dict(mIoU=10.0, step=1), rest='{"mIoU": 2')  # killed, and resumed
    assert tool.last_validation(tmp_path) == dict(mIoU=10.0)
    _log(tmp_path, '20260102_000000', dict(mIoU=30.0, step=2))
    assert tool.last_validation(tmp_path) == dict(mIoU=30.0)


@pytest.mark.parametrize(('jobs', 'threads'), [(1, 6), (2, 3), (7, 1)])
def test_runs_at_the_same_time_share_the_cores_of_any_system(tool, monkeypatch, tmp_path, jobs, threads):
    given = []
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)  # as on macOS and Windows
    monkeypatch.setattr(os, 'cpu_count', lambda: 6)
    monkeypatch.setattr(tool, 'run', lambda *task: given.append(task[-1]) or dict(mIoU=1.0, seconds=60.0))
    _call(tool, monkeypatch, 'x.py', '--seeds', 0, '--jobs', jobs, '--work-dir', tmp_path)
    assert given == [threads]


def test_without_a_validation(tool, tmp_path):
    _log(tmp_path, '20260101_000000', dict(lr=0.1, loss=1.0, step=1))
    with pytest.raises(UsageError, match='no validation'):
        tool.last_validation(tmp_path)


def test_trains_what_is_missing_and_reads_the_rest(tool, repository, monkeypatch, capsys, tmp_path):
    config = repository / 'tests' / 'data' / 'tiny_config.py'
    variant = tmp_path / 'flat-head' / 'seed3'
    variant.mkdir(parents=True)
    option = 'model.fine_head.condition=flat'
    (variant / 'command.txt').write_text(f'{config} --cfg-options train_cfg.max_iters=2 {option} randomness.seed=3')
    (variant / 'figures.json').write_text('{"mIoU": 12.5, "seconds": 90}')
    call = (config, '--vary', f'flat head: {option}', '--seeds', 3, '--work-dir', tmp_path)
    call += ('--cfg-options', 'train_cfg.max_iters=2')

    _call(tool, monkeypatch, *call)
    trained = tmp_path / 'as-configured' / 'seed3'
    figures = json.loads((trained / 'figures.json').read_text())
    assert {'mIoU', 'fine/recognition', 'composed/mIoU', 'seconds'} <= set(figures)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert [cell.strip() for cell in rows[0].split('|')[1:-1]] == ['', 'mIoU', 'fine/recognition', 'minutes']
    assert [cell.strip() for cell in rows[3].split('|')[1:-1]] == ['flat head', '12.50', '–', '1.5']

    log = (trained / 'log.txt').stat().st_mtime_ns
    _call(tool, monkeypatch, *call)
    assert (trained / 'log.txt').stat().st_mtime_ns == log  # not trained again

    with pytest.raises(SystemExit):  # other settings under the same name
        _call(tool, monkeypatch, *call, 'train_cfg.val_interval=1')
    assert 'contains a run of another command' in capsys.readouterr().err


def test_a_run_that_fails_is_named(tool, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        _call(tool, monkeypatch, tmp_path / 'none.py', '--seeds', 0, '--work-dir', tmp_path / 'runs')
    error = capsys.readouterr().err
    assert 'as configured, seed 0: training ended with status 1' in error
    log = tmp_path / 'runs' / 'as-configured' / 'seed0' / 'log.txt'
    assert str(log) in error
    assert 'no config at' in log.read_text()


def test_names_must_differ_as_folders(tool, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        _call(tool, monkeypatch, 'x.py', '--vary', 'a b: c=1', 'a-b: c=2')
    assert 'names that differ' in capsys.readouterr().err
