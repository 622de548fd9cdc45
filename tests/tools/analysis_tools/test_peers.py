from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from deepunetto_mm.ops import connected_regions


@pytest.fixture
def tool(load_module):
    return load_module('tools/analysis_tools/peers.py')


@pytest.mark.parametrize('count', [0, 1, 7, 20])
def test_every_way_finds_the_planted_objects(tool, count):
    planted = tool.Planted((96, 160), count, [1, 2])
    head = nn.Conv2d(3, 3, 3, stride=4, padding=1)
    planted.into(head)
    logits = nn.functional.interpolate(head(torch.rand(1, 3, 96, 160)), (96, 160), mode='bilinear')
    labels = logits.argmax(1)[0].numpy().astype(np.uint8)
    assert len(connected_regions(labels, [-1, 0, 1], 8, tool.MIN_AREA).ids) == count
    assert len(tool.cut_out(np.zeros((96, 160, 3), np.uint8), labels, [1, 2])[1]) == count


def test_too_many_objects_for_the_picture(tool):
    with pytest.raises(ValueError, match='--regions 2000: squares in 96x160 pixels'):
        tool.Planted((96, 160), 2000, [1])


def test_ways_of_this_package_agree(tool, repository, mmseg_scope):
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    ways = tool.ways(cfg, (96, 160), 3)
    picture = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    first, second = (
        ways[name]()([picture, picture])[0][1]['regions'] for name in ('DeepUNetto, as trained', 'DeepUNetto, bf16')
    )
    assert len(first) == 3
    assert [region['bbox'] for region in second] == [region['bbox'] for region in first]


def test_all_planted_regions_are_named(tool, repository, mmseg_scope):
    """Also more than the config lets the network name; another number is an error."""
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    cfg.model.region_proposer.max_regions = 2
    _, named = tool.ways(cfg, (96, 160), 3)['DeepUNetto, as trained']()([np.zeros((96, 160, 3), np.uint8)])
    assert named == 3
    tool.check_number('a', 3, 3)
    tool.check_number('a way without names', None, 3)
    with pytest.raises(ValueError, match='a named 2 regions, and 3 were planted'):
        tool.check_number('a', 2, 3)


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='Linux counts the peak')
def test_memory_of_a_prediction(tool, repository, mmseg_scope, monkeypatch):
    """A way that fills 64 MB for a while and keeps nothing."""
    monkeypatch.setattr(tool, 'ways', lambda *_: {'fills': lambda: lambda picture: np.ones(2**26, np.uint8).sum()})
    peak = tool.peak_memory('fills', str(repository / 'tests' / 'data' / 'tiny_config.py'), (96, 160), 3, 1)
    assert 60 < peak < 80
