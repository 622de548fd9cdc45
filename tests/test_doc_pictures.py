"""The pictures of the documents: what is printed beside them draws them."""

import re
import runpy
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ROOT / 'docs' / 'pictures'


def _examples(page):
    return re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / page).read_text(encoding='utf-8'), re.DOTALL)


def _commands(page):
    text = (ROOT / 'docs' / page).read_text(encoding='utf-8').replace('\\\n', '')
    return [shlex.split(line)[1:] for line in re.findall(r'^python .*$', text, re.MULTILINE)]


def _run(command, monkeypatch):
    monkeypatch.setattr('sys.argv', command)
    runpy.run_path(str(ROOT / command[0]), run_name='__main__')


def _assert_alike(drawn, name):
    shown = cv2.imread(str(SHOWN / f'{name}.png'))
    # Letters and resizing may differ a little with the versions of matplotlib and OpenCV.
    assert drawn.shape == shown.shape
    assert np.abs(drawn.astype(int) - shown).mean() < 2


def test_every_picture_is_drawn_here():
    assert {path.stem for path in SHOWN.iterdir()} == {
        *('tiles', 'rods_and_cones', 'crops'),
        *('border_weights', 'elastic_deformation', 'contact_sheet', 'overview'),
        'web',  # tests/web/test_page.py
    }


@pytest.mark.parametrize(
    ('page', 'word', 'names'),
    [
        ('unet2015.md', 'tile_spans', ['tiles']),
        ('rods_and_cones.md', 'MaskGuidedRoICrop', ['rods_and_cones', 'crops']),
        ('model_zoo.md', 'distinct_colours', ['overview']),
    ],
)
def test_examples_draw(page, word, names, tmp_path, monkeypatch):
    (tmp_path / 'docs' / 'pictures').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (example,) = [example for example in _examples(page) if word in example]
    exec(example, {})
    assert {path.stem for path in (tmp_path / 'docs' / 'pictures').iterdir()} == set(names)
    for name in names:
        _assert_alike(cv2.imread(f'docs/pictures/{name}.png'), name)


@pytest.mark.parametrize('name', ['border_weights', 'elastic_deformation'])
def test_browsing_draws(name, tmp_path, monkeypatch):
    page = (ROOT / 'docs' / 'unet2015.md').read_text(encoding='utf-8')
    folder, file = re.search(rf"open\('(work_dirs/\w+)/([\w.]+)'\)\.save\('docs/pictures/{name}\.png'", page).groups()
    (command,) = [command for command in _commands('unet2015.md') if folder in command]
    command[command.index(folder)] = str(tmp_path)
    monkeypatch.chdir(ROOT)
    _run(command, monkeypatch)
    _assert_alike(cv2.imread(str(tmp_path / file)), name)


def test_thresholds_draw_the_contact_sheet(tmp_path, monkeypatch):
    pytest.importorskip('skimage')
    monkeypatch.chdir(tmp_path)
    (example,) = [example for example in _examples('threshold_masks.md') if 'RodConeShapes' in example]
    exec(example, {})
    assert len(list(tmp_path.glob('work_dirs/drawn/masks/*/*.png'))) == 75
    (command,) = [command for command in _commands('threshold_masks.md') if 'work_dirs/drawn/weak' in command]
    _run(command, monkeypatch)
    sheet = Image.open('work_dirs/drawn/weak/sheet.png').quantize(200).convert('RGB')
    _assert_alike(np.asarray(sheet)[..., ::-1], 'contact_sheet')
