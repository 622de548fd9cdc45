"""Networks as ONNX: the same maps, regions, names and JSON, without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deepunetto_mm.deployment import comparison, export_onnx, onnx_export
from deepunetto_mm.deployment.preparation import Preparation
from deepunetto_mm.models.regions import DistanceWatershed
from deepunetto_mm.runtime import OnnxPredictor, Prediction
from deepunetto_mm.utils.errors import DataError, UsageError

pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')


def _equal(ours, theirs):
    """JSON of both; scores are rounded to four digits, so that the last one may differ."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            _equal(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for pair in zip(ours, theirs):
            _equal(*pair)
    else:
        assert ours == (pytest.approx(theirs, abs=1.01e-4) if isinstance(ours, float) else theirs)


def test_results_are_the_inferencers(inferencer, exported, folder_of_pictures):
    expected = inferencer(folder_of_pictures)
    found = OnnxPredictor(exported)(folder_of_pictures)
    assert sum(len(result['regions']) for result in expected) > 10
    _equal(json.loads(json.dumps(expected)), json.loads(json.dumps(found)))


_ALONE = """
import json, os, sys
from deepunetto_mm.runtime import OnnxPredictor
assert os.environ['ORT_DISABLE_TELEMETRY'] == '1' and 'onnxruntime' not in sys.modules
results = OnnxPredictor(sys.argv[1])(sys.argv[2])
for name in ('torch', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'scipy', 'pycocotools', 'PIL'):
    assert name not in sys.modules, name
print(json.dumps(results))
"""


def test_neither_torch_nor_the_stack_is_imported_and_onnxruntime_reports_nothing(
    exported, folder_of_pictures, repository, monkeypatch
):
    monkeypatch.delenv('ORT_DISABLE_TELEMETRY')
    command = [sys.executable, '-c', _ALONE, str(exported), str(folder_of_pictures)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == OnnxPredictor(exported)(folder_of_pictures)


def test_the_page_shows_what_the_runtime_finds(exported, folder_of_pictures):
    pytest.importorskip('fastapi')
    from deepunetto_mm.web import ExportedModel, Gallery

    gallery = Gallery(ExportedModel(exported))
    for expected in OnnxPredictor(exported)(folder_of_pictures):
        content = Path(expected['picture']).read_bytes()
        regions = gallery.add(Path(expected['picture']).name, content).regions
        assert regions == [dict(region, corrected=None, dropped=False) for region in expected['regions']]


def test_a_picture_without_regions(exported, monkeypatch):
    predictor = OnnxPredictor(exported)
    monkeypatch.setitem(predictor.model['proposer'], 'min_area', 10**6)
    found = predictor.predict(np.zeros((30, 40, 3), np.uint8))
    assert isinstance(found, Prediction)
    assert found.regions['fine_scores'].shape == (0, 12)
    assert not found.region_map.any()
    assert found.composed.shape == found.labels.shape == (30, 40)
    assert predictor(np.zeros((30, 40, 3), np.uint8)) == [dict(picture='array_0000', width=40, height=30, regions=[])]


def test_the_graphs_have_names_for_their_sizes(exported):
    predictor = OnnxPredictor(exported)
    (picture,) = predictor.segment.get_inputs()
    assert (picture.name, picture.shape, picture.type) == ('picture', ['N', 'H', 'W', 3], 'tensor(uint8)')
    (scores,) = predictor.name.get_outputs()
    assert (scores.name, scores.shape) == ('scores', ['R', 12])


def test_a_folder_that_was_changed_is_refused(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no .*model\.json: name the folder that'):
        OnnxPredictor(tmp_path)
    description = json.loads((exported / 'model.json').read_text())
    for changes, message in (
        (dict(format=0), r'model\.json has the format 0, and this version reads 7'),
        (dict(files={'segment.onnx': ''}), r'segment\.onnx is not the file that model\.json describes'),
    ):
        (tmp_path / 'model.json').write_text(json.dumps({**description, **changes}))
        (tmp_path / 'segment.onnx').write_bytes((exported / 'segment.onnx').read_bytes())
        with pytest.raises(ValueError, match=message):
            OnnxPredictor(tmp_path)


def test_bad_pictures_are_named_before_anything_is_predicted(exported, folder_of_pictures, tmp_path):
    predictor = OnnxPredictor(exported)
    good, bad = folder_of_pictures / '0.png', tmp_path / 'bad.png'
    bad.write_bytes(good.read_bytes()[:-8])
    with pytest.raises(DataError, match=r'bad\.png.*truncated'):
        next(predictor.stream([good, bad]))
    with pytest.raises(FileNotFoundError, match=r'no such picture or folder: .*c\.png'):
        predictor([good, tmp_path / 'c.png'])
    with pytest.raises(ValueError, match=r'picture 1 is an array \(4, 4\) of uint8'):
        predictor([good, np.zeros((4, 4), np.uint8)])
    with pytest.raises(TypeError, match='picture 0 is a int'):
        predictor([3])
    bad.write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'bad\.png: not a picture, or a damaged one'):
        predictor(bad)
    with pytest.raises(ValueError, match='top_k'):
        predictor(good, top_k=0)


def test_another_network_than_the_exported_one_is_told_apart(inferencer, exported, make_inferencer, monkeypatch):
    predictor = OnnxPredictor(exported)
    with monkeypatch.context() as patch, torch.no_grad():
        head = inferencer.model.fine_head.fc
        # In the table of parameters: monkeypatch would delete an attribute that is no plain one, and not bring it back.
        patch.setitem(head._parameters, 'bias', torch.nn.Parameter(head.bias + torch.arange(12) / 1000))
        with pytest.raises(ValueError, match='differs: by .* in a score of a picture of 96x128'):
            comparison.compare(inferencer, predictor)
        with pytest.raises(ValueError, match='name.onnx differs: it gives other scores to 3 regions'):
            comparison._compare_graphs(np.zeros((96, 80, 3), np.uint8), inferencer, predictor)
        patch.setattr(inferencer.model.region_proposer, 'min_area', 20)
        with pytest.raises(ValueError, match='differs: .* regions of a picture of 96x128'):
            comparison.compare(inferencer, predictor)


_NAMES = dict(names=dict(type='deepunetto_mm.FineMapHead', in_channels=[128], in_index=(1,), channels=8))


def _with_graphs_of(exported, inferencer, folder):
    """The export of a network that has the same graphs as another: what differs is in the description."""
    shutil.copytree(exported, folder)
    onnx_export._write_description(inferencer, onnx_export.require_exportable(inferencer), folder)
    predictor = OnnxPredictor(folder)
    comparison.compare(inferencer, predictor)
    return predictor


def test_names_as_maps(make_inferencer, tmp_path, folder_of_pictures):
    """Of regions across groups, cut along borders; and of regions of each class by itself."""
    maps = dict(
        crop_neck=None,
        fine_backbone=None,
        fine_head=None,
        dense_heads=dict(_NAMES, borders=dict(type='deepunetto_mm.BorderHead', in_channels=8)),
        region_names='names.logits',
    )
    inferencer = make_inferencer(
        region_proposer=dict(
            _delete_=True,
            type='deepunetto_mm.BorderWatershed',
            min_area=[5, 6, 7],
            threshold=0.3,
            across_groups=True,
        ),
        **maps,
    )
    torch.nn.init.normal_(
        inferencer.model.dense_heads.borders.classifier.weight, std=3.0, generator=torch.Generator().manual_seed(0)
    )
    export_onnx(inferencer, tmp_path / 'network')
    assert sorted(path.name for path in (tmp_path / 'network').iterdir()) == ['model.json', 'segment.onnx']
    expected, found = inferencer(folder_of_pictures), OnnxPredictor(tmp_path / 'network')(folder_of_pictures)
    assert sum(len(result['regions']) for result in expected) > 10
    _equal(expected, found)
    with pytest.raises(UsageError, match='BorderWatershed cannot be exported: --single-graph has ConnectedComp'):
        onnx_export._require_proposer(inferencer.model, single_graph=True)

    inferencer = make_inferencer(
        region_proposer=dict(by_class=True, min_area=[20, 30, 40], connectivity=4), test_cfg=dict(vote=True), **maps
    )
    predictor = _with_graphs_of(tmp_path / 'network', inferencer, tmp_path / 'by_class')
    expected, found = inferencer(folder_of_pictures), predictor(folder_of_pictures)
    assert sum(len(result['regions']) for result in expected) > 10
    _equal(expected, found)


def test_crops_and_pixels_name_together(make_inferencer, tmp_path, folder_of_pictures):
    inferencer = make_inferencer(
        dense_heads=_NAMES, region_names='names.logits', region_proposer=dict(min_area=40, by_name='names.logits')
    )
    export_onnx(inferencer, tmp_path / 'network')
    expected, found = inferencer(folder_of_pictures), OnnxPredictor(tmp_path / 'network')(folder_of_pictures)
    assert sum(len(result['regions']) for result in expected) > 5
    _equal(expected, found)


def test_names_of_all_groups_and_joined_regions(make_inferencer, tmp_path, folder_of_pictures):
    inferencer = make_inferencer(
        dense_heads=_NAMES,
        region_names='names.logits',
        fine_head=dict(condition='flat', temperature=2.0),
        test_cfg=dict(join=True, vote=True),
    )
    with pytest.raises(UsageError, match='--single-graph needs crops that name the regions by themselves'):
        onnx_export.require_exportable(inferencer, single_graph=True)
    export_onnx(inferencer, tmp_path / 'network')
    predictor = OnnxPredictor(tmp_path / 'network')
    assert (predictor.model['pixels_name'], predictor.model['join']) == ('soft', True)
    expected, found = inferencer(folder_of_pictures), predictor(folder_of_pictures)
    inferencer.model.join = False
    apart = inferencer(folder_of_pictures)
    counts = [sum(len(result['regions']) for result in results) for results in (apart, expected)]
    assert counts[0] > counts[1] > 5
    _equal(expected, found)
    inferencer.model.join, inferencer.model.vote, inferencer.model.fine_branch.pixel_names = True, '', None
    with pytest.raises(UsageError, match='--single-graph cannot join regions: set model.test_cfg.join=False'):
        onnx_export.require_exportable(inferencer, single_graph=True)


def test_resized_pictures_and_regions_by_centres(make_inferencer, tmp_path, folder_of_pictures):
    """Which crops and pixels name together, each in its group."""
    inferencer = make_inferencer(
        dense_heads=dict(_NAMES, centres=dict(type='deepunetto_mm.CentreOffsetHead', in_channels=8)),
        region_names='names.logits',
        region_proposer=dict(
            _delete_=True, type='deepunetto_mm.CentreOffsetProposer', min_area=20, threshold=0.01, by_class=True
        ),
        crop_neck=dict(guidance='soft', picture=True),
        test_cfg=dict(crops_per_pass=3),
    )
    pipeline = inferencer.cfg.test_dataloader.dataset.pipeline
    pipeline[:0] = [
        dict(type='deepunetto_mm.ChromaticAdaptation', percentile=90.0),
        dict(type='Resize', scale_factor=(1.5, 0.7)),
    ]
    inferencer._init_pipeline()
    with pytest.raises(UsageError, match='--single-graph cannot resize pictures: remove Resize from test_dataloader'):
        onnx_export.require_exportable(inferencer, single_graph=True)
    export_onnx(inferencer, tmp_path / 'network')
    predictor = OnnxPredictor(tmp_path / 'network')
    assert [(own['type'], own['by']) for own in predictor.model['transforms']] == [
        ('ChromaticAdaptation', 'runtime'),
        ('Resize', 'runtime'),
    ]
    assert predictor.model['pixels_name'] == 'hard'
    expected, found = inferencer(folder_of_pictures), predictor(folder_of_pictures)
    assert sum(len(result['regions']) for result in expected) > 10
    _equal(expected, found)
    # A picture whose size stays, at the size that the exporter was told to exclude.
    resize = predictor.model['transforms'][1]
    resize.update(scale_factor=(1.0, 1.0))
    pipeline[1]['scale_factor'] = (1.0, 1.0)
    inferencer._init_pipeline()
    _equal(inferencer(folder_of_pictures), predictor(folder_of_pictures))
    del pipeline[1]
    inferencer.model.fine_branch.pixel_names = None
    with pytest.raises(UsageError, match='CentreOffsetProposer cannot be exported: --single-graph has ConnectedComp'):
        onnx_export.require_exportable(inferencer, single_graph=True)


@pytest.fixture(scope='module')
def single_graph(inferencer, tmp_path_factory):
    """By itself: ``exported`` has the other two."""
    folder, export = tmp_path_factory.mktemp('single'), torch.onnx.export
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, 'export', lambda *given, **options: _is_single(*given) and export(*given, **options))
        onnx_export._write_graphs(inferencer.model, Preparation([]), folder, True)
    (path,) = folder.iterdir()
    return path


def _is_single(graph, example, path):
    return Path(path).name == 'pipeline.onnx'


def test_one_graph_does_all(inferencer, exported, single_graph, folder_of_pictures, monkeypatch):
    import onnxruntime

    differences = comparison.compare_single(inferencer, single_graph)
    assert [each.picture for each in differences] == [
        f'{size} by pipeline.onnx' for size in ('96x128', '97x131', '160x75', '40x41')
    ]
    assert all(0 < each.largest <= 1e-4 for each in differences if each.regions)
    session = onnxruntime.InferenceSession(str(single_graph), providers=['CPUExecutionProvider'])
    nothing = np.zeros((5, 7, 3), np.uint8)  # fewer pixels than a region has
    predictor = OnnxPredictor(exported)
    for picture in (*[cv2.imread(str(path)) for path in folder_of_pictures.iterdir()], nothing):
        expected = predictor.predict(picture)
        found = session.run(['regions', 'composed', 'boxes', 'scores'], {'picture': picture[None, ..., ::-1].copy()})
        assert picture is not nothing or len(expected.regions['ids']) == 0
        np.testing.assert_array_equal(found[0][0], expected.region_map)
        np.testing.assert_array_equal(found[1][0], expected.composed)
        np.testing.assert_array_equal(found[2], expected.regions['bboxes'])
        np.testing.assert_allclose(found[3], expected.regions['fine_scores'], rtol=0, atol=1e-5)
    monkeypatch.setattr(inferencer.model.region_proposer, 'min_area', 20)
    with pytest.raises(ValueError, match=r'pipeline\.onnx differs: .* regions of a picture of 96x128'):
        comparison.compare_single(inferencer, single_graph)


def test_names_of_pixels_are_not_in_the_single_graph(make_inferencer, tmp_path):
    inferencer = make_inferencer(dense_heads=_NAMES, region_names='names.logits')
    with pytest.raises(UsageError, match='--single-graph needs crops that name the regions by themselves'):
        export_onnx(inferencer, tmp_path / 'out', True)
    inferencer = make_inferencer(dense_heads=_NAMES, region_proposer=dict(by_name='names.logits'))
    with pytest.raises(UsageError, match="by_name='names.logits' cannot be exported: --single-graph has no names of"):
        export_onnx(inferencer, tmp_path / 'out', True)
    with pytest.raises(UsageError, match="cannot be exported: set model.region_names='names.logits'"):
        export_onnx(inferencer, tmp_path / 'out')


def test_an_export_is_replaced_and_nothing_else(inferencer, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, '_write_graphs', lambda *_: None)
    (tmp_path / 'work').mkdir()
    for name in ('thesis.txt', 'model.json'):  # which other programs write, too
        (tmp_path / 'work' / name).write_text('')
        with pytest.raises(UsageError, match='work has other files than an export: name a new folder'):
            export_onnx(inferencer, tmp_path / 'work')

    def stop(*_):
        raise ValueError('the exported network differs')

    monkeypatch.setattr(onnx_export, 'compare', stop)
    monkeypatch.setattr(onnx_export, 'OnnxPredictor', lambda *_: None)
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(ValueError, match='differs'):
        export_onnx(inferencer, exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    assert [path.name for path in exported.parent.iterdir()] == ['network']  # nothing half written is left
    monkeypatch.setattr(onnx_export, 'compare', lambda *_: [])
    (tmp_path / 'earlier').mkdir()
    (tmp_path / 'earlier' / 'model.json').write_text('')
    assert export_onnx(inferencer, tmp_path / 'earlier') == []
    assert json.loads((tmp_path / 'earlier' / 'model.json').read_text())['format'] == 7
    (tmp_path / 'link').symlink_to('earlier')
    (tmp_path / 'earlier' / 'pipeline.onnx').write_text('')
    export_onnx(inferencer, tmp_path / 'link')
    assert [path.name for path in (tmp_path / 'earlier').iterdir()] == ['model.json']
    rename = Path.rename

    def fail(path, target):
        if path.name == 'new':
            raise OSError('no space left')
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'rename', fail)
        with pytest.raises(OSError, match='no space left'):
            export_onnx(inferencer, tmp_path / 'earlier')
    assert [path.name for path in (tmp_path / 'earlier').iterdir()] == ['model.json']  # the former export is back
    monkeypatch.chdir(tmp_path / 'earlier')
    with pytest.raises(UsageError, match=r'\. is the current folder, which cannot be replaced'):
        export_onnx(inferencer, '.')
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith('.')] == []


def test_regions_are_cut_at_their_necks(inferencer, exported, folder_of_pictures, tmp_path, monkeypatch):
    proposer, predictor = inferencer.model.region_proposer, OnnxPredictor(exported)
    whole = predictor(folder_of_pictures)
    monkeypatch.setattr(proposer, 'splitter', torch.nn.Identity())
    with pytest.raises(UsageError, match='the splitter Identity cannot be exported: the runtime has DistanceWatershed'):
        onnx_export.require_exportable(inferencer)
    monkeypatch.setattr(proposer, 'splitter', DistanceWatershed(0.95, 3))
    onnx_export.require_exportable(inferencer)
    with pytest.raises(UsageError, match='the splitter DistanceWatershed cannot be exported: --single-graph has none'):
        onnx_export.require_exportable(inferencer, single_graph=True)
    onnx_export._write_description(inferencer, Preparation([]), tmp_path)
    described = json.loads((tmp_path / 'model.json').read_text())['proposer']
    assert described['necks'] == dict(neck_ratio=0.95, min_area=3)
    assert predictor.model['proposer']['necks'] is None
    monkeypatch.setitem(predictor.model, 'proposer', described)
    found = predictor(folder_of_pictures)
    assert sum(len(result['regions']) for result in found) > sum(len(result['regions']) for result in whole)
    _equal(json.loads(json.dumps(inferencer(folder_of_pictures))), json.loads(json.dumps(found)))
    # Without an area of its own, a cut has that of the region's group.
    monkeypatch.setattr(proposer.splitter, 'min_area', None)
    monkeypatch.setattr(proposer, 'min_area', [3, 3, 400])
    onnx_export._write_description(inferencer, Preparation([]), tmp_path)
    described = json.loads((tmp_path / 'model.json').read_text())['proposer']
    assert (described['necks']['min_area'], described['min_area']) == (None, [3, 3, 400])
    monkeypatch.setitem(predictor.model, 'proposer', described)
    fewer = predictor(folder_of_pictures)
    assert sum(len(result['regions']) for result in fewer) != sum(len(result['regions']) for result in found)
    _equal(json.loads(json.dumps(inferencer(folder_of_pictures))), json.loads(json.dumps(fewer)))


def test_necks_need_scikit_image(exported, tmp_path, monkeypatch):
    description = json.loads((exported / 'model.json').read_text())
    description['proposer']['necks'] = dict(neck_ratio=0.5, min_area=1)
    (tmp_path / 'model.json').write_text(json.dumps(description))
    monkeypatch.setattr('deepunetto_mm.runtime.onnx_predictor.find_spec', lambda name: None)
    with pytest.raises(ImportError, match='cuts regions, which needs scikit-image: install it'):
        OnnxPredictor(tmp_path)
