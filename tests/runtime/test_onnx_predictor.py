"""What the runtime refuses before it opens a graph; with graphs: tests/deployment/test_onnx_export.py."""

import json

import numpy as np
import pytest

from deepunetto_mm.runtime import OnnxPredictor
from deepunetto_mm.runtime.onnx_predictor import _list_sources

pytest.importorskip('onnxruntime')


def test_a_folder_that_is_no_export(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no .*model\.json: name the folder that tools/deployment/export'):
        OnnxPredictor(tmp_path)
    (tmp_path / 'model.json').write_text('{')
    with pytest.raises(ValueError, match=r'model\.json is not JSON .*: copy the whole folder again'):
        OnnxPredictor(tmp_path)
    (tmp_path / 'model.json').write_text(json.dumps(dict(format=1)))
    with pytest.raises(ValueError, match=r'model\.json has the format 1, and this version reads 7: export again'):
        OnnxPredictor(tmp_path)


def test_sources_are_named_in_order_and_arrays_checked(tmp_path):
    pictures = [np.zeros((2, 3, 3), np.uint8), np.ones((4, 5, 3), np.uint8)]
    assert [name for name, _ in _list_sources(pictures)] == ['array_0000', 'array_0001']
    assert [source.shape for _, source in _list_sources(np.zeros((2, 6, 7, 3), np.uint8))] == [(6, 7, 3)] * 2
    with pytest.raises(ValueError, match=r'picture 1 is an array \(2, 3\) of uint8; \(H, W, 3\) uint8 BGR is wanted'):
        _list_sources([pictures[0], np.zeros((2, 3), np.uint8)])
    with pytest.raises(TypeError, match='picture 0 is a int'):
        _list_sources([5])
    with pytest.raises(FileNotFoundError, match='no such picture or folder: .*gone'):
        _list_sources([tmp_path / 'gone'])
