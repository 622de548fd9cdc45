"""What cannot be exported is named, and nothing is written."""

import re

import pytest
import torch

from deepunetto_mm.deployment import export_onnx
from deepunetto_mm.models.segmentors.passes import TilePass
from deepunetto_mm.utils.errors import UsageError

pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (
            dict(test_cfg=dict(mode='tile', tile_size=(64, 64), margin=32, size_divisor=4)),
            "only test_cfg.mode='whole' can be exported",
        ),
    ],
)
def test_what_cannot_be_exported_is_named(make_inferencer, tmp_path, parts, message):
    with pytest.raises(UsageError, match=message):
        export_onnx(make_inferencer(**parts), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('transform', 'name'),
    [
        (dict(type='ResizeShortestEdge', scale=64, max_size=99), 'ResizeShortestEdge'),
        (dict(type='LoadImageFromFile', to_float32=True), 'LoadImageFromFile'),
        (dict(type='deepunetto_mm.LoadScaledImage', low=0, high=4095), 'LoadScaledImage'),
    ],
)
def test_transforms_that_are_not_in_the_graph_are_named(make_inferencer, tmp_path, transform, name):
    inferencer = make_inferencer()
    inferencer.cfg.test_dataloader.dataset.pipeline.insert(0, transform)
    with pytest.raises(UsageError, match=f'the transform {name} of test_dataloader is not in the graph'):
        export_onnx(inferencer, tmp_path / 'out')


@pytest.mark.parametrize('version', ['2.1.2+cu121', '2.8.0'])
def test_an_old_pytorch_is_refused(tmp_path, monkeypatch, version):
    monkeypatch.setattr(torch, '__version__', version)
    with pytest.raises(UsageError, match=f'the export needs PyTorch 2.9 or newer, and this is {re.escape(version)}$'):
        export_onnx(None, tmp_path / 'out')


def test_other_preparations_and_unpadded_networks_are_refused(make_inferencer, tmp_path):
    inferencer = make_inferencer()
    inferencer.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    with pytest.raises(UsageError, match='test_cfg of SegDataPreProcessor is not in the graph'):
        export_onnx(inferencer, tmp_path / 'out')
    inferencer.model.decode_head.output_margin = 4
    inferencer.model.passing = TilePass(None, margin=4, size_divisor=4, unpadded=True)
    with pytest.raises(UsageError, match='UNetDecoder is unpadded, and only padded networks can be exported'):
        export_onnx(inferencer, tmp_path / 'out')
