"""The command; what it writes is tested with the code."""

import runpy
import sys

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm import deployment, runtime
from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.deployment import Difference


def _region(score, name='disk'):
    return dict(bbox=[0, 0, 2, 2], group='g', fine_class=name, mask='', score=score, fine_score=1.0)


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

    class Predictor:
        """The same regions in each picture, with a score of its own in the first."""

        def __init__(self, folder, threads):
            assert (folder, threads) == (str(out), torch.get_num_threads())

        def stream(self, pictures):
            for number in range(2):
                yield dict(regions=[_region(0.5 + 0.1 * (number == 0)), _region(0.5, 'ring' if number else 'disk')])

    monkeypatch.setattr(runtime, 'OnnxPredictor', Predictor)
    monkeypatch.setattr(DeepUNettoInferencer, 'stream', lambda *_: iter([dict(regions=[_region(0.5)] * 2)] * 2))
    out.joinpath('segment.onnx').unlink()
    out.rmdir()
    run(config, checkpoint, out, '--pictures', 'mine')
    printed = capsys.readouterr().out
    assert '2 pictures of mine: 1 of 4 regions differ, largest difference of a rounded score 0.1; ' in printed
    assert 'ms a picture by torch' in printed
    with pytest.raises(SystemExit):
        run(config, tmp_path / 'nothing.pth', out)
    assert 'no checkpoint at' in capsys.readouterr().err
