"""The command; what it writes is tested with the code."""

import re
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm import deployment, runtime
from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.deployment import Difference, Int8Difference

onnxruntime = pytest.importorskip('onnxruntime')


def _region(score, name='disk'):
    return dict(bbox=[0, 0, 2, 2], group='g', fine_class=name, mask='', score=score, fine_score=1.0)


def test_what_was_written_and_compared_is_printed(repository, mmseg_scope, tmp_path, monkeypatch, capsys):
    config, checkpoint, out = repository / 'tests' / 'data' / 'tiny_config.py', tmp_path / 'a.pth', tmp_path / 'out'
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(config).model).state_dict()), checkpoint)
    proposers, singles = [], []

    def export_onnx(inferencer, folder, single_graph):
        singles.append(single_graph)
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

    kinds = []

    class Predictor:
        """The same regions in each picture, with a score of its own in the first."""

        def __init__(self, folder, threads, int8):
            assert (folder, threads) == (str(out), torch.get_num_threads())
            kinds.append(int8)

        def stream(self, pictures):
            for number in range(2):
                yield dict(regions=[_region(0.5 + 0.1 * (number == 0)), _region(0.5, 'ring' if number else 'disk')])

    monkeypatch.setattr(runtime, 'OnnxPredictor', Predictor)
    monkeypatch.setattr(DeepUNettoInferencer, 'stream', lambda *_: iter([dict(regions=[_region(0.5)] * 2)] * 2))
    out.joinpath('segment.onnx').unlink()
    out.rmdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='1'):
        run(config, checkpoint, out, '--pictures', 'mine')
    assert "No such file or directory: 'mine'" in capsys.readouterr().err
    (tmp_path / 'mine').mkdir()
    cv2.imwrite('mine/a.png', np.zeros((4, 5, 3), np.uint8))
    run(config, checkpoint, out, '--pictures', 'mine')
    printed = capsys.readouterr().out
    assert '2 pictures of mine: 1 of 4 regions differ, largest difference of a rounded score 0.1; ' in printed
    assert re.search(r'milliseconds a picture: torch \d+\.\d, ONNX \d+\.\d\n', printed)
    assert kinds == [False]
    monkeypatch.setattr(deployment, 'calibration_pictures', lambda folder: [folder])
    monkeypatch.setattr(
        deployment, 'quantise', lambda *given: asked.append(given) or Int8Difference(9, 0.00125, 8, 3, 2, 1)
    )
    asked = []
    out.joinpath('segment.onnx').unlink()
    out.rmdir()
    run(config, checkpoint, out, '--pictures', 'mine', '--int8', 'others')
    assert asked == [(str(out), ['others'], torch.get_num_threads())]
    printed = capsys.readouterr().out
    assert 'the 9 pictures of the calibration: 0.125% of the pixels have another label' in printed
    assert 'of 8 regions 3 are lost, 2 are new, and 1 have another name' in printed
    assert re.search(r'ONNX \d+\.\d, int8 \d+\.\d\n', printed)

    class Session:
        def __init__(self, path, options, providers):
            assert path == str(out / 'pipeline.onnx')
            assert options.intra_op_num_threads == torch.get_num_threads()

        def run(self, names, inputs):
            assert inputs['picture'][:, 0, 0].tolist() == [[3, 2, 1]]  # red, green, blue

    monkeypatch.setattr(onnxruntime, 'InferenceSession', Session)
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((4, 5, 3), (1, 2, 3), np.uint8))
    out.joinpath('segment.onnx').unlink()
    out.rmdir()
    run(config, checkpoint, out, '--pictures', tmp_path, '--single-graph')
    assert re.search(r'ONNX \d+\.\d, one graph \d+\.\d\n', capsys.readouterr().out)
    assert singles == [False, False, False, True]
    assert kinds == [False, False, True, False]
    with pytest.raises(SystemExit):
        run(config, tmp_path / 'nothing.pth', out)
    assert 'no checkpoint at' in capsys.readouterr().err
