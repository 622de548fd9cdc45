"""tools/plan.py: what the command prints, writes and starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepunetto_mm.planning import budget


@pytest.fixture
def plan(in_process, monkeypatch):
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (1.0, 1.0))
    return in_process('tools/plan.py')


def test_the_command_says_what_is_wrong(plan, annotated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            plan(*arguments)
        return stopped.value.code, capsys.readouterr()

    folder = annotated.write_cells(tmp_path / 'in', ('round', 'long', 'Long', 'long', 'round', 'long'))
    status, printed = run(folder, '--encoder', 'scratch')
    assert status == 1
    assert "'Long' (1 objects) may be 'long'" in printed.out
    assert printed.err.endswith('fix these\n')
    picture = folder / '5.png'
    content = picture.read_bytes()
    picture.write_bytes(b'')
    status, printed = run(folder, '--encoder', 'scratch', '--rename', 'Long=long')
    assert status == 1
    assert printed.err.endswith('fix these, or leave such pictures out by --without-faulty\n')
    picture.write_bytes(content)
    status, printed = run(folder, '--encoder', 'scratch', '--rename', 'Long=long', '--name', 'cells')
    assert status == 0
    assert 'config: work_dirs/cells/plan/cells.py' in printed.out
    assert f'next: {min(sys.executable, os.path.relpath(sys.executable), key=len)} ' in printed.out
    for wrong, message in (
        (['--minutes', '0'], 'error: --minutes must be above 0'),
        (['--rename', 'a'], 'error: --rename takes OLD=NEW'),
        (['--name', 'a/b'], "error: --name 'a/b' is not a file name"),
    ):
        status, printed = run(folder, *wrong)
        assert status == 1
        assert message in printed.err
    (tmp_path / 'work_dirs/cells/plan/cells.py').write_text('# mine')
    run(folder, '--encoder', 'scratch', '--rename', 'Long=long', '--name', 'cells')
    assert (tmp_path / 'work_dirs/cells/plan/cells.before.py').read_text() == '# mine'
    torch.save(dict(state_dict={}), tmp_path / 'work_dirs/cells/epoch_3.pth')
    status, printed = run(folder, '--name', 'cells')
    assert (status, printed.err) == (
        1,
        'error: work_dirs/cells has a training already: give --train to go on with it, or another --name\n',
    )
    commands = []
    monkeypatch.setattr(
        subprocess, 'run', lambda command, check: commands.append(command) or subprocess.CompletedProcess(command, 0)
    )
    status, printed = run(folder, '--name', 'cells', '--train')
    assert 'which goes on' in printed.out
    assert [Path(command[1]).name for command in commands] == ['train.py', 'test.py']
    assert commands[0][2:] == ['work_dirs/cells/plan/cells.py', '--work-dir', 'work_dirs/cells', '--resume']
    # The options of the plan may be given again, but no others.
    run(folder, '--name', 'cells', '--train', '--encoder', 'scratch', '--rename', 'Long=long')
    assert len(commands) == 4
    for option, flag in (
        (['--minutes', '90'], '--minutes'), (['--upright'], '--upright or --any-way-up'),
        (['--rename', 'Long=round'], '--rename'), (['--format', 'labelme'], '--format'),
    ):  # fmt: skip
        status, printed = run(folder, '--name', 'cells', '--train', *option)
        assert (status, printed.err) == (
            1,
            f'error: work_dirs/cells has a training that was planned with another {flag}: leave it out to go on with '
            'that, or give another --name\n',
        )
    assert len(commands) == 4
    status, printed = run(tmp_path / 'gone')
    assert 'no such folder' in printed.err
    # The folder's own name is that of many folders.
    status, printed = run(tmp_path / 'other', '--name', 'cells', '--train')
    assert f'has a training of {folder}, not of {tmp_path / "other"}; give another --name' in printed.err
    (tmp_path / 'work_dirs/cells/plan/cells.py').unlink()
    status, printed = run(folder, '--name', 'cells', '--train')
    assert 'has a training, but not by a plan: give another --name' in printed.err


def test_the_command_trains_every_fold(plan, annotated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = []

    def start(command, check):
        commands.append(command)
        if '--out-metrics' in command:
            path = Path(command[command.index('--out-metrics') + 1])
            path.parent.mkdir(parents=True)
            recognition = None if len(commands) == 4 else 50.0
            path.write_text(json.dumps(dict(figures={'mIoU': 90.0 + len(commands), 'fine/recognition': recognition})))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', start)
    folder = annotated.write_cells(tmp_path / 'in')
    arguments = [folder, '--name', 'cells', '--encoder', 'scratch', '--folds', '2', '--train']
    with pytest.raises(SystemExit) as stopped:
        plan(*arguments)
    assert stopped.value.code == 0
    assert [command[2:5] for command in commands[::2]] == [
        [f'work_dirs/cells/plan/cells_fold{i}.py', '--work-dir', f'work_dirs/cells/fold{i}'] for i in (1, 2)
    ]
    # 92 and 94: mean 93, deviation root of 2.
    table = (tmp_path / 'work_dirs/cells/folds.md').read_text().splitlines()
    assert [[cell.strip() for cell in row.split('|')[1:-1]] for row in table[2:]] == [
        ['fold 1', '92.00', '50.00'], ['fold 2', '94.00', '–'], ['mean ± deviation', '93.00 ± 1.41', '–'],
    ]  # fmt: skip
    # Finished folds are not repeated, and another number of folds is another plan.
    torch.save(dict(state_dict={}), tmp_path / 'work_dirs/cells/fold1/epoch_1.pth')
    (tmp_path / 'work_dirs/cells/fold2/test/figures.json').unlink()
    (tmp_path / 'work_dirs/cells/fold2/test').rmdir()
    commands.clear()
    with pytest.raises(SystemExit):
        plan(*arguments)
    assert [command[2] for command in commands] == ['work_dirs/cells/plan/cells_fold2.py'] * 2
    arguments[arguments.index('2')] = '3'
    with pytest.raises(SystemExit):
        plan(*arguments)
    assert 'has a training with --folds 2; give that' in capsys.readouterr().err
