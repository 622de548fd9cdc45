"""docs/unet2015.md: its commands run, and print what it shows."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm.unet2015 import UNet2015Encoder
from deepunetto_mm.unet2015.sizes import unet2015_input_size, unet2015_is_valid_size, unet2015_margin


@pytest.fixture(scope='module')
def page(repository):
    return (repository / 'docs' / 'unet2015.md').read_text(encoding='utf-8')


def _block(page, word):
    """The one example in Python that has the word."""
    (block,) = [block for block in re.findall(r'```python\n(.*?)```', page, re.DOTALL) if word in block]
    return block


def test_the_command_prints_the_number_of_parameters(page, capsys):
    (command,) = re.findall(r"^python -W ignore -c '(.*)'$", page, re.MULTILINE)
    exec(command, {})
    assert capsys.readouterr().out == '31030658\n'


def test_wrong_sizes_say_what_is_printed(page, repository, mmseg_scope):
    for_encoder, for_tiles = re.findall(r'^ValueError: (.*)$', page, re.MULTILINE)
    with pytest.raises(ValueError, match=f'^{re.escape(for_encoder)}$'):
        UNet2015Encoder(channels=(1,) * 5)(torch.zeros(1, 1, 512, 512))
    cfg = Config.fromfile(repository / 'configs' / 'unet2015_isbi2012.py')
    cfg.model.test_cfg.tile_size = (512, 512)
    with pytest.raises(ValueError, match=f'^{re.escape(for_tiles)}$'):
        MODELS.build(cfg.model)


def test_the_table_of_depths(page):
    rows = re.findall(r'^\| (\d) \| (\d+) \| (\d+) \| (\d+), (\d+), .*? \| (\d+),', page, re.MULTILINE)
    assert [row[0] for row in rows] == ['3', '4', '5']
    for depth, stride, margin, first, second, output in (map(int, row) for row in rows):
        assert unet2015_margin(depth) == 2 * margin
        assert unet2015_input_size(1, depth) == first == output + 2 * margin
        assert [n for n in range(first, second + 1) if unet2015_is_valid_size(n, depth)] == [first, first + stride]


def test_stacks_become_a_dataset(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    volume = np.random.randint(0, 256, (30, 4, 4), np.uint8)
    stacks = volume, np.where(volume > 99, 255, 0).astype(np.uint8)
    for name, stack in zip(('train-volume.tif', 'train-labels.tif'), stacks):
        assert cv2.imwritemulti(name, list(stack))
    exec(_block(page, 'imreadmulti'), {})
    for kind, expected in (('images', stacks[0]), ('masks', stacks[1] // 255)):
        for split, numbers in (('train', range(24)), ('val', range(24, 30))):
            files = sorted((tmp_path / 'data' / 'isbi2012' / kind / split).iterdir())
            assert [file.name for file in files] == [f'{number:02}.png' for number in numbers]
            read = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
            np.testing.assert_array_equal(read, expected[numbers.start : numbers.stop])
