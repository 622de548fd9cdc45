from argparse import Namespace

import numpy as np
import pytest

from deepunetto_mm.datasets import RodConeShapes


@pytest.fixture
def tool(load_module):
    return load_module('tools/analysis_tools/load.py')


def test_the_bound_of_the_docs(tool):
    assert tool.memory_bound(12_000 * 9_000, groups=3, regions=20_000) == 600e6 + 36 * 108e6 + 400e6
    assert tool.memory_bound(1, groups=0, regions=0) == 600e6 + 24


def test_scenes_side_by_side(tool):
    picture, objects = tool.lay_scenes(130, 256, seed=3)
    scenes = RodConeShapes(num_scenes=4, seed=3, size=(128, 128))
    assert picture.shape == (130, 256, 3)
    assert np.array_equal(picture[:128, 128:], scenes[1]['img'])
    assert np.array_equal(picture[128:, :128], scenes[2]['img'][:2])
    maps = [scenes[i]['gt_region_map'][: 128 if i < 2 else 2] for i in range(4)]
    laid = np.block([[maps[0], maps[1]], [maps[2], maps[3]]])
    assert objects.shape == laid.shape
    assert np.array_equal(objects > 0, laid > 0)
    drawn = sum(len(set(np.unique(found)) - {0}) for found in maps)
    assert np.unique(objects).tolist() == list(range(drawn + 1))
    assert len(np.unique(np.stack([objects, laid], -1).reshape(-1, 2), axis=0)) == drawn + 1


def test_objects_that_are_found(tool):
    objects = np.array([[1, 1, 1, 0, 2, 2, 0, 3]], np.int32)
    regions = np.array([[7, 7, 0, 0, 4, 0, 0, 4]], np.uint16)  # 2 of 3; half of 2 and all of 3 in one
    assert tool.count_found(objects, regions) == 1
    assert tool.count_found(objects, objects) == 3
    assert tool.count_found(objects, np.zeros_like(regions)) == 0


def test_a_picture_from_file_to_files(tool, config, monkeypatch):
    result = tool.measure_picture(config, None, (200, 256), tile=64, margin=16)
    assert result['kept']
    assert result['what'].startswith('256x200 pixels, ')
    monkeypatch.setattr(tool, 'memory_bound', lambda *_: -(10**12))  # the process may have had the memory already
    assert not tool.measure_picture(config, None, (200, 256), tile=64, margin=16)['kept']


@pytest.mark.parametrize(('last', 'growth', 'kept'), [(100, '0.00', True), (101, '1.00', False)])
def test_small_pictures_and_growth(tool, config, monkeypatch, last, growth, kept):
    sizes = iter([100e6, *[100e6] * 8, 130e6, *[100e6] * 6, last * 1e6, last * 1e6])
    monkeypatch.setattr(tool, 'memory_of_process', lambda _: next(sizes))
    result = tool.measure_small(config, None, 20)  # 2 to warm up
    assert result['peak'] == f'100.0 MB, grown by {growth} %; 100.0 to 130.0 MB'
    assert result['kept'] is kept
    assert next(sizes, None) is None


def test_mmsegs_sliding_window(tool, config):
    result = tool.measure_plain(config, None, (128, 192), (256, 192), tile=64, classes=7)
    assert result['what'] == '192x128 pixels, mmseg, 7 classes'
    assert 'for 192x256' in result['peak']


@pytest.mark.parametrize('kept', [True, False])
def test_the_exit_status_tells_what_was_over(tool, config, monkeypatch, capsys, kept):
    asked = []

    def answers(path, checkpoint, cases):
        asked.extend(cases)
        for case in cases:
            yield case, dict(what=case, found='3', peak='1 MB', bound='2 MB', kept=kept or case != 'large'), 4.2

    monkeypatch.setattr(tool, '_each_in_a_process', answers)
    args = Namespace(config=config, checkpoint=None, cases=['small', 'large', 'plain'], pictures=10, regions=10)
    others = dict(size=(9, 9), plain_size=(9, 9), plain_classes=(4, 19), tile=64, margin=16, trust_checkpoint=False)
    for name, value in others.items():
        setattr(args, name, value)
    assert tool.measure(args) is kept
    assert asked == ['small', 'large', 'plain, 4 classes', 'plain, 19 classes']
    assert ('large: large: 1 MB, OVER THE BOUND' in capsys.readouterr().out) is not kept
