import pytest
from mmengine.config import Config

from deepunetto_mm.cli.runtime import load_config
from deepunetto_mm.utils import shipped_configs
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.shipped_configs import read_config, resolve_config


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """What an installed package has, in small; and a working directory without it."""
    folder = tmp_path / 'site-packages' / 'deepunetto_mm' / '.mim' / 'configs'
    (folder / '_base_').mkdir(parents=True)
    (folder / '_base_' / 'model.py').write_text("model = dict(type='EncoderDecoder', head=dict(width=4, depth=2))")
    (folder / 'cells.py').write_text("_base_ = './_base_/model.py'\nepochs = 40")
    monkeypatch.setattr(shipped_configs, 'FOLDER', folder)
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    return folder


def test_a_config_of_ones_own_inherits(tmp_path):
    (tmp_path / 'empty' / 'mine.py').write_text(
        "_base_ = ['deepunetto_mm::cells.py', './other.py']\n"
        'model = dict(head=dict(width=8))\n'
        'larger = {{_base_.model}}'
    )
    (tmp_path / 'empty' / 'other.py').write_text('batch_size = 2')
    cfg = read_config('mine.py')
    assert cfg.model == dict(type='EncoderDecoder', head=dict(width=8, depth=2))
    assert (cfg.epochs, cfg.batch_size) == (40, 2)
    # No scope comes with it, in which mmseg's types would not be found.
    assert cfg.larger == dict(type='EncoderDecoder', head=dict(width=4, depth=2))


def test_by_name(folder):
    assert read_config('deepunetto_mm::cells.py').epochs == 40
    assert resolve_config('deepunetto_mm::_base_/model.py') == str(folder / '_base_' / 'model.py')
    assert resolve_config(folder / 'cells.py') == str(folder / 'cells.py')
    cfg = load_config('deepunetto_mm::cells.py', {'epochs': 3})
    assert (cfg.epochs, cfg.work_dir) == (3, 'work_dirs/cells')


@pytest.mark.parametrize('read', [read_config, load_config])
def test_a_name_that_is_not_there(read, tmp_path):
    message = r"deepunetto_mm::cell\.py: no 'cell\.py' in .*configs \(there is 'cells\.py'\)"
    with pytest.raises(UsageError, match=message):
        read('deepunetto_mm::cell.py')
    (tmp_path / 'empty' / 'mine.py').write_text("_base_ = 'deepunetto_mm::cell.py'")
    with pytest.raises(UsageError, match=message):
        read('mine.py')
    with pytest.raises(UsageError, match=r"no 'qwertz\.py' in [^;]*$"):
        read('deepunetto_mm::qwertz.py')


def test_a_package_that_was_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_configs, 'FOLDER', tmp_path / 'deepunetto_mm' / '.mim' / 'configs')
    with pytest.raises(UsageError, match='is missing; pip install the package'):
        read_config('deepunetto_mm::cells.py')


def test_mmengine_is_left_as_it_was(tmp_path):
    before = Config._get_cfg_path
    read_config('deepunetto_mm::cells.py')
    (tmp_path / 'empty' / 'mine.py').write_text("_base_ = 'deepunetto_mm::none.py'")
    with pytest.raises(UsageError):
        read_config('mine.py')
    assert Config._get_cfg_path is before
    # Of other packages it reads what it can.
    (tmp_path / 'empty' / 'theirs.py').write_text("_base_ = 'somebody::none.py'")
    with pytest.raises(ValueError, match='_get_package_and_cfg_path'):
        read_config('theirs.py')
