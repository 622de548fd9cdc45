"""The command; what it writes is tested with the code."""

import runpy
import sys

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm import deployment
from deepunetto_mm.deployment import Difference


def test_what_was_written_and_compared_is_printed(repository, mmseg_scope, tmp_path, monkeypatch, capsys):
    config, checkpoint, out = repository / 'tests' / 'data' / 'tiny_config.py', tmp_path / 'a.pth', tmp_path / 'out'
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(config).model).state_dict()), checkpoint)
    proposers = []

    def export_onnx(inferencer, folder):
        proposers.append(inferencer.model.region_proposer.min_area)
        out.mkdir()
        (out / 'segment.onnx').write_bytes(bytes(1_500_000))
        return [Difference('97x131', 3, 2.5e-7)]

    monkeypatch.setattr(deployment, 'export_onnx', export_onnx)
    options = ['--cfg-options', 'model.region_proposer.min_area=77']

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['export.py', *map(str, arguments), *options])
        runpy.run_path(str(repository / 'tools' / 'deployment' / 'export.py'), run_name='__main__')

    run(config, checkpoint, out)
    assert proposers == [77]
    printed = capsys.readouterr().out
    assert f'{out / "segment.onnx"}: 1.5 MB' in printed
    assert '97x131, 3 regions: largest difference of a score 2e-07' in printed
    with pytest.raises(SystemExit):
        run(config, tmp_path / 'nothing.pth', out)
    assert 'no checkpoint at' in capsys.readouterr().err
