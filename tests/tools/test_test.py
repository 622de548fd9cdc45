import importlib.util
import re
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from mmseg.registry import MODELS

FIGURES = (
    'aAcc',
    'mIoU',
    'mAcc',
    'fine/recognition',
    'fine/mean_class',
    'fine/top1',
    'fine/top5',
    'fine/found',
    'fine/precision',
    'fine/PQ',
    'composed/mIoU',
)


@pytest.fixture
def config(repository):
    return repository / 'tests' / 'data' / 'tiny_config.py'


@pytest.fixture
def checkpoint(config, mmseg_scope, tmp_path):
    """An untrained model's checkpoint."""
    model = MODELS.build(Config.fromfile(config).model)
    path = tmp_path / 'checkpoint' / 'iter_1.pth'
    path.parent.mkdir()
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))
    return path


@pytest.fixture
def test(repository, monkeypatch):
    """Run tools/test.py in this process."""
    spec = importlib.util.spec_from_file_location('tools_test', repository / 'tools' / 'test.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments)])
        module.main()

    return run


def test_prints_the_figures_and_writes_the_pictures(test, config, checkpoint, tmp_path, capsys):
    out, pictures = tmp_path / 'out', tmp_path / 'pictures'
    test(config, checkpoint, '--work-dir', tmp_path, '--out', out, '--show-dir', pictures)
    printed = capsys.readouterr().out
    end = printed[printed.rindex(str(checkpoint)) :]
    for name in FIGURES:
        assert re.search(rf'^  {re.escape(name)} +(\d+\.\d\d|nan)$', end, re.MULTILINE), name
    label_maps = sorted(out.glob('*.png'))
    assert len(label_maps) == 3
    label_map = cv2.imread(str(label_maps[0]), cv2.IMREAD_UNCHANGED)
    assert label_map.shape == (64, 64)
    assert set(np.unique(label_map)) <= {0, 1, 2, 3}
    named = re.search(r'^pictures: (.+)$', end, re.MULTILINE)[1]
    assert len(list(type(pictures)(named).glob('*.png'))) == 3


def test_takes_the_newest_checkpoint_of_a_folder(test, config, checkpoint, tmp_path, capsys):
    test(config, checkpoint.parent, '--work-dir', tmp_path, '--tta')
    assert f'{config} with {checkpoint}:' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('checkpoint_name', 'options', 'message'),
    [
        ('absent.pth', (), r"error: no checkpoint at '.*absent\.pth'"),
        ('', (), r"error: no intact checkpoint \(iter_\*\.pth, epoch_\*\.pth\) in '.*'"),
        (None, ('--tta', '--cfg-options', 'tta_model=None'), r'error: the config .* has no tta_model'),
        (
            None,
            ('--show-dir', 'x', '--cfg-options', 'default_hooks.visualization=None'),
            r'error: --show and --show-dir need default_hooks\.visualization',
        ),
    ],
)
def test_what_is_missing_is_one_line(test, config, checkpoint, tmp_path, capsys, checkpoint_name, options, message):
    path = checkpoint if checkpoint_name is None else tmp_path / checkpoint_name
    with pytest.raises(SystemExit) as stopped:
        test(config, path, '--work-dir', tmp_path, *options)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(message, last), last
