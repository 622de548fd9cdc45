"""tools/misc/verify_dataset.py reads all data, reports, and tells by its status whether they are sound."""

import json

import pytest


@pytest.fixture
def config(blood, tmp_path):
    """A config file over a small dataset below ``data``."""
    root = tmp_path / 'data'
    blood['write_tree'](root)
    cfg = blood['config'](*(blood['dataset'](root, split) for split in ('train', 'val')), data_root=str(root))
    path = tmp_path / 'config.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items()))
    return path


@pytest.fixture
def verify(in_process):
    """Run the tool; its exit status."""
    tool = in_process('tools/misc/verify_dataset.py')

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            tool(*arguments)
        return int(stopped.value.code)

    return run


def test_sound_data(verify, config, tmp_path, capsys):
    assert verify(config, '--out', tmp_path / 'new' / 'report.json', '--workers', 2) == 0
    content = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert content['config'] == str(config)
    assert (content['errors'], content['warnings']) == (0, 4)
    assert [part['read'] for part in content['splits']] == [2, 1]
    out = capsys.readouterr().out
    assert '| vessel ' in out
    assert '\n0 errors\n\n4 warnings:\n' in out
    assert '3 pictures in ' in out
    assert out.endswith(f' s: {tmp_path}/new/report.json\n')


def test_data_with_an_error(verify, config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # where the report goes by default
    (tmp_path / 'data/masks/val/c.png').unlink()
    (tmp_path / 'data/images/train/b.jpg').write_bytes(b'\xff\xd8\xff')
    assert verify(config, '--workers', 0) == 1
    content = json.loads((tmp_path / 'work_dirs/config/data_report.json').read_text())
    assert content['errors'] == 2
    assert '2 errors:\n' in capsys.readouterr().out
    # Each split by itself, and the data elsewhere.
    assert verify(config, '--workers', 0, '--splits', 'val') == 1
    assert verify(config, '--workers', 0, '--cfg-options', 'data_root=nowhere') == 1
    assert 'nowhere/images/train: no such folder' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], "error: no config at 'nowhere.py'"),
        (['CONFIG', '--splits', 'test'], 'has no test_dataloader'),
        (['CONFIG', '--cfg-options', 'train_dataloader.dataset.type=deepunetto_mm.Nothing'], 'Nothing'),
    ],
)
def test_what_is_missing_is_one_line(verify, config, capsys, arguments, message):
    assert verify(*[config if argument == 'CONFIG' else argument for argument in arguments]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
