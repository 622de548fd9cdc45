import importlib.util

import pytest


@pytest.fixture
def tool(repository):
    path = repository / 'tools' / 'analysis_tools' / 'benchmark.py'
    spec = importlib.util.spec_from_file_location('benchmark', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_what_a_config_costs(tool, repository, mmseg_scope):
    from mmengine.config import Config
    from mmseg.registry import MODELS

    path = str(repository / 'tests' / 'data' / 'tiny_config.py')
    cost = tool.measure(path, (64, 96), regions=3, repeats=1, channels_last=True)
    model = MODELS.build(Config.fromfile(path).model)
    assert cost['parameters'] * 1e6 == sum(p.numel() for p in model.parameters())
    assert min(cost['segment'], cost['name']) > 0
    # Convolutions alone, so that a picture twice as wide costs twice as much.
    twice = tool.measure(path, (64, 192), regions=0, repeats=1, channels_last=False)
    assert twice['gflop'] == pytest.approx(2 * cost['gflop'])
    assert twice['name'] == 0


def test_regions_lie_side_by_side(tool):
    found, region_map = tool._boxes((64, 96), 13)
    assert found.bboxes[12].tolist() == [0, 8, 8, 16]
    assert (region_map == 13).sum() == 64
    with pytest.raises(ValueError, match='--regions is at most 96 for this size, got 97'):
        tool._boxes((64, 96), 97)
