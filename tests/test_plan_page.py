"""The page on plans: its example goes from nothing to names of new pictures, with less time."""

import json
import re
import runpy
import shlex
import subprocess
import sys

import cv2
import pytest

from deepunetto_mm.planning import budget


@pytest.fixture
def run(repository, monkeypatch):
    """A command of the page, in this process."""

    plain = subprocess.run

    def run(command, **options):
        if command[0] not in ('python', sys.executable):
            return plain(command, **options)
        _, script, *arguments = command
        path = script if script == 'draw.py' else repository / script
        monkeypatch.setattr(sys, 'argv', [str(path), *arguments])
        status = 0
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as stopped:
            status = stopped.code or 0
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, 'run', run)
    return run


def test_the_example_names_new_pictures(repository, tmp_path, monkeypatch, run, capsys):
    text = (repository / 'docs' / 'plan.md').read_text(encoding='utf-8')
    script, commands = (
        re.search(rf'```{language}\n(.*?)```', text.partition('## An example')[2], re.DOTALL)[1]
        for language in ('python', 'sh')
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'draw.py').write_text(script)
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (0.25, 0.1))  # so that the epochs do not depend on the machine
    for line in commands.replace('--minutes 2', '--minutes 0.17 --encoder scratch').splitlines():
        assert run(shlex.split(line)).returncode == 0, line
    printed = capsys.readouterr().out
    assert '12 pictures of 96x96 pixels, 8 bits: 10 train, 2 val' in printed
    new = tmp_path / 'work_dirs/beads'
    predictions = sorted((new / 'new/predictions').glob('*.json'))
    assert [path.stem for path in predictions] == ['12', '13', '14']
    for path in predictions:
        picture = cv2.imread(str(tmp_path / f'work_dirs/beads_drawn/new/{path.stem}.png')).astype(int)
        regions = json.loads(path.read_text())['regions']
        assert len(regions) == 4
        for region in regions:
            x, y, right, bottom = (round(value) for value in region['bbox'])
            blue, _, red = picture[(y + bottom) // 2, (x + right) // 2]
            assert region['fine_class'] == ('red' if red > blue else 'blue')
