"""The demo's command line."""

import re
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm.datasets import RodConeShapes


@pytest.fixture
def checkpoint(config, mmseg_scope, tmp_path):
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(config).model).state_dict()), tmp_path / 'a.pth')
    return tmp_path / 'a.pth'


@pytest.fixture
def demo(in_process):
    return in_process('demo/image_demo.py')


def test_names_what_is_in_the_pictures_of_a_folder(demo, config, checkpoint, tmp_path, capsys):
    scenes = RodConeShapes(num_scenes=2, seed=0, size=(64, 64))
    (tmp_path / 'pictures').mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / 'pictures' / f'{index}.png'), scenes[index]['img'])
    demo(tmp_path / 'pictures', config, checkpoint, '--out-dir', tmp_path / 'out', '--device', 'cpu', '--no-progress')
    lines = capsys.readouterr().out.splitlines()[-2:]
    for index, line in enumerate(lines):
        found = re.fullmatch(r'(\S+): (nothing|\d+ \w+ \w+(?:, \d+ \w+ \w+)*); (\S+)', line)
        assert found[1] == str(tmp_path / 'pictures' / f'{index}.png')
        assert Path(found[3]) == tmp_path / 'out' / 'visualizations' / f'{index}.png'
        assert cv2.imread(found[3]) is not None


@pytest.mark.parametrize(('missing', 'message'), [(0, 'no such picture'), (1, 'nowhere'), (2, 'no checkpoint at')])
def test_what_is_missing_is_one_line(demo, config, checkpoint, tmp_path, capsys, missing, message):
    cv2.imwrite(str(tmp_path / 'a.png'), RodConeShapes(num_scenes=1, seed=0, size=(64, 64))[0]['img'])
    arguments = [tmp_path / 'a.png', config, checkpoint]
    arguments[missing] = tmp_path / 'nowhere.py'
    with pytest.raises(SystemExit) as stopped:
        demo(*arguments, '--device', 'cpu')
    assert stopped.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ')
    assert message in error


def test_without_arguments_it_names_scenes_that_it_draws(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    demo('--device', 'cpu', '--no-progress')
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert lines[3] == 'outputs/pictures/scene3.png: 1 green disk; outputs/visualizations/scene3.png'
    assert len(list(Path('outputs/visualizations').glob('scene?.png'))) == 6


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a.png', '{config}'], 'give CONFIG and CHECKPOINT, or --model NAME'),
        (['a.png', '{config}', '{checkpoint}', '--model', 'deepunetto_shapes'], 'give CONFIG and CHECKPOINT, or'),
        (['a.png', '{config}', '{checkpoint}', '--hub', 'a/b'], 'give CONFIG and CHECKPOINT, or'),
        (['a.png', '--model', 'cells', '--hub', 'a/b'], "the hub is 'a/b', but must be"),
        (['a.png', '--model', 'deepunetto_shape'], "no model 'deepunetto_shape'"),
    ],
)
def test_one_model_is_wanted(demo, config, checkpoint, capsys, arguments, message):
    with pytest.raises(SystemExit):
        demo(*(str(word).format(config=config, checkpoint=checkpoint) for word in arguments))
    assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: {message}')
