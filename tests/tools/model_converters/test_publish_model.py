"""The command; what it writes is tested with the code."""

import json
import runpy
import sys

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm.apis import load_model


@pytest.fixture
def publish(repository, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['publish_model.py', *map(str, arguments)])
        runpy.run_path(str(repository / 'tools' / 'model_converters' / 'publish_model.py'), run_name='__main__')

    return run


def test_makes_an_entry_of_a_run(publish, repository, mmseg_scope, tmp_path, capsys):
    config, run = repository / 'tests' / 'data' / 'tiny_config.py', tmp_path / 'run'
    run.mkdir()
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(config).model).state_dict()), run / 'iter_2.pth')
    (tmp_path / 'figures.json').write_text('{"config": "a.py", "figures": {"mIoU": 12.5, "fine/PQ": null}}')
    options = ['--data', 'drawn scenes', '--licence', 'CC0-1.0', '--figures', tmp_path / 'figures.json']
    changed = ['--cfg-options', 'model.region_proposer.min_area=77']
    publish(config, run, '--name', 'mine', *options, '--out', tmp_path / 'models', *changed)
    entry = json.loads((tmp_path / 'models' / 'mine.json').read_text())
    assert capsys.readouterr().out.splitlines()[-1] == (
        f'{tmp_path}/models/mine.json: its weights are {tmp_path}/models/{entry["weights"]}, 0.8 MB'
    )
    origin = {key: value for key, value in entry['origin'].items() if key != 'versions'}
    assert origin == dict(
        config='tiny_config.py',
        data='drawn scenes',
        licence='CC0-1.0',
        figures={'mIoU': 12.5, 'fine/PQ': None},
        seed=None,
        iterations=None,
    )
    assert not (tmp_path / 'models' / 'mine.log.jsonl').exists()  # the run has none
    model = load_model('mine', tmp_path / 'models', device='cpu', show_progress=False)
    assert model.model.region_proposer.min_area == 77


def test_in_8_bits_and_with_the_log_of_a_resumed_run(publish, repository, mmseg_scope, tmp_path, capsys):
    config = repository / 'tests' / 'data' / 'tiny_config.py'
    torch.save(MODELS.build(Config.fromfile(config).model).state_dict(), tmp_path / 'a.pth')
    for start, line in (('2', '{"loss": 2.0, "iter": 20}\n'), ('1', '{"loss": 3.0, "iter": 20}\n{"lo')):
        (tmp_path / start / 'vis_data').mkdir(parents=True)
        (tmp_path / start / 'vis_data' / 'scalars.json').write_text(line)
    publish(config, tmp_path / 'a.pth', '--data', 'x', '--licence', 'y', '--int8', '--out', tmp_path)
    assert json.loads((tmp_path / 'tiny_config.json').read_text())['storage'] == 'int8'
    log = (tmp_path / 'tiny_config.log.jsonl').read_text()
    assert log == '{"loss": 3.0, "iter": 20}\n{"loss": 2.0, "iter": 20}\n'
    assert capsys.readouterr().out.splitlines()[-1].endswith('.safetensors, 0.5 MB')


def test_a_run_without_a_checkpoint_is_one_line(publish, repository, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        publish(repository / 'tests' / 'data' / 'tiny_config.py', tmp_path, '--data', 'x', '--licence', 'y')
    assert stopped.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith('error: no intact checkpoint')
