"""Graphs in int8: what is rounded, by how much, and what is counted as a difference."""

import hashlib
import json
import shutil
import sys

import cv2
import numpy as np
import pytest

from deepunetto_mm.deployment import Int8Difference, calibration_pictures, int8, quantise
from deepunetto_mm.runtime import OnnxPredictor, Prediction
from deepunetto_mm.utils.errors import DataError, UsageError

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def quantised(exported, folder_of_pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp('quantised') / 'network'
    shutil.copytree(exported, folder)
    return folder, quantise(folder, calibration_pictures(folder_of_pictures), 1)


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / 'network')


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_float_graphs_stay_and_the_description_lists_both(exported, quantised):
    before, after = _contents(exported), _contents(quantised[0])
    own = {'segment.onnx': 'segment.int8.onnx'}  # the crops' only convolution takes their three colours
    assert after.keys() == {*before, *own.values()}
    assert all(after[name] == before[name] for name in ('segment.onnx', 'name.onnx'))
    description = json.loads(after.pop('model.json'))
    assert description.pop('int8') == own
    assert description.pop('files') == {name: hashlib.sha256(content).hexdigest() for name, content in after.items()}
    expected = json.loads(before['model.json'])
    del expected['files']
    assert description == expected


def _check_weights(folder, name):
    """Numbers of channels whose convolutions are left, and those that are rounded to 7 bits, by output channel."""
    exact, rounded = (onnx.load(folder / f'{name}{kind}.onnx').graph for kind in ('', '.int8'))
    weights = {entry.name: onnx.numpy_helper.to_array(entry) for entry in exact.initializer}
    tensors = {entry.name: onnx.numpy_helper.to_array(entry) for entry in rounded.initializer}
    of_output = {node.output[0]: node for node in rounded.node}
    convolutions = {node.name: node for node in rounded.node if node.op_type == 'Conv'}
    left, in_int8 = set(), set()
    for node in exact.node:
        if node.op_type != 'Conv':
            continue
        weight, given = weights[node.input[1]], convolutions[node.name].input[1]
        if given in tensors:
            np.testing.assert_array_equal(tensors[given], weight)
            left.add(weight.shape[1])
            continue
        steps, scale = (tensors[key] for key in of_output[given].input[:2])
        assert steps.dtype == np.int8
        assert np.abs(steps).max() <= 64
        assert (np.abs(steps * scale[:, None, None, None] - weight) <= scale.max() * 0.51).all()
        in_int8.add(weight.shape[1])
    return left, in_int8


def test_weights_are_rounded_but_those_of_the_colours(quantised):
    left, in_int8 = _check_weights(quantised[0], 'segment')
    assert left == {3}
    assert min(in_int8) > 4


def test_names_are_calibrated_with_the_regions_of_the_pictures(copied, folder_of_pictures, monkeypatch):
    monkeypatch.setattr(int8, '_FEW_CHANNELS', 0)
    pictures = calibration_pictures(folder_of_pictures)
    without_regions = int8._inputs(OnnxPredictor(copied), 'name.onnx', [])
    with pytest.raises(UsageError, match=r'name\.onnx cannot be calibrated: no region is found in the pictures'):
        int8._quantise_graph(copied / 'name.onnx', copied / 'x.onnx', without_regions)
    assert quantise(copied, pictures, 1).pixels < 0.1
    assert _check_weights(copied, 'name') == (set(), {3})
    assert OnnxPredictor(copied, int8=True).name is not None


def test_differences_are_counted_over_all_pictures(quantised, folder_of_pictures):
    folder, difference = quantised
    exact, rounded = OnnxPredictor(folder), OnnxPredictor(folder, int8=True)
    assert (difference.pictures, difference.renamed >= 0) == (4, True)
    pixels = different = regions = others = 0
    for path in calibration_pictures(folder_of_pictures):
        ours, theirs = (predictor.predict(cv2.imread(str(path))) for predictor in (exact, rounded))
        pixels += ours.labels.size
        different += (ours.labels != theirs.labels).sum()
        regions += len(ours.regions['ids'])
        others += len(theirs.regions['ids'])
    assert difference.pixels == pytest.approx(different / pixels)
    assert 0 < difference.pixels < 0.1
    assert difference.regions == regions
    assert difference.regions - difference.lost + difference.added == others


def _prediction(region_map, names):
    region_map = np.array(region_map)
    return Prediction(
        region_map, None, region_map, dict(ids=np.unique(region_map)[1:], fine_labels=np.array(names, int))
    )


def test_regions_are_paired_by_overlap():
    ours = _prediction([[1, 1, 0, 2], [1, 1, 0, 2], [3, 0, 0, 0]], [4, 5, 6])
    # Region 1 lost a quarter and has another name, region 2 lost half, region 3 is the same under another number.
    theirs = _prediction([[1, 1, 0, 2], [1, 0, 0, 0], [4, 0, 7, 7]], [3, 5, 6, 0])
    found = Int8Difference()
    int8._count_regions(ours, theirs, found)
    assert found == Int8Difference(regions=3, lost=1, added=2, renamed=1)
    nothing = _prediction(np.zeros((3, 4), int), [])
    int8._count_regions(nothing, nothing, found)
    assert found == Int8Difference(regions=3, lost=1, added=2, renamed=1)
    int8._count_regions(nothing, theirs, found)
    assert found == Int8Difference(regions=3, lost=1, added=6, renamed=1)
    int8._count_regions(Prediction(np.zeros((3, 4))), Prediction(np.zeros((3, 4))), found)
    assert found.added == 6


def test_calibration_pictures_are_spread_and_checked(tmp_path, folder_of_pictures, monkeypatch):
    assert [path.name for path in calibration_pictures(folder_of_pictures)] == [
        '0.png',
        '1.png',
        '2.png',
        'nothing.png',
    ]
    monkeypatch.setattr(int8, 'MOST_PICTURES', 2)
    assert [path.name for path in calibration_pictures(folder_of_pictures)] == ['0.png', 'nothing.png']
    with pytest.raises(FileNotFoundError, match='no picture in the folder'):
        calibration_pictures(tmp_path)
    (tmp_path / 'a.png').write_bytes((folder_of_pictures / '0.png').read_bytes()[:-8])
    (tmp_path / 'b.txt').write_text('')
    with pytest.raises(DataError, match=r'a\.png: the file is truncated'), pytest.warns(UserWarning, match='left out'):
        calibration_pictures(tmp_path)
    monkeypatch.setitem(sys.modules, 'onnxruntime.quantization', None)
    with pytest.raises(UsageError, match=r'int8 needs onnx and the quantisation of onnxruntime: pip install'):
        calibration_pictures(folder_of_pictures)


def test_an_export_without_int8_graphs_is_named(exported):
    with pytest.raises(ValueError, match='network has no int8 graphs: export again with --int8'):
        OnnxPredictor(exported, int8=True)


def test_nothing_is_changed_by_what_fails(copied, folder_of_pictures, monkeypatch):
    before = _contents(copied)
    pictures = calibration_pictures(folder_of_pictures)
    with monkeypatch.context() as patch:
        patch.setattr(int8, '_quantise_graph', lambda source, target, inputs: bool(target.write_bytes(b'')) or False)
        with pytest.raises(ValueError, match='no int8 graphs'):
            quantise(copied, pictures, 1)
    monkeypatch.setattr(int8, '_compare', lambda *_: Int8Difference(pixels=0.51))
    with pytest.raises(ValueError, match='int8 does not work for this network: 51% of the pixels have another label'):
        quantise(copied, pictures[:1], 1)
    assert _contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ['network']
