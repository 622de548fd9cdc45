"""What is done strip by strip equals what is done at once."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.fine import composing
from deepunetto_mm.models.fine.composing import write_regions
from deepunetto_mm.ops import STRIP_PIXELS, connected_regions, region_means, regions, row_strips
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat'],
        groups=[dict(name=name, members=[name], fine_classes=[name]) for name in ('dog', 'cat')],
    )
)


def _in_strips_of(monkeypatch, pixels: int) -> None:
    # The package's name region_means is the function.
    for module in (regions, composing, sys.modules['deepunetto_mm.ops.region_means']):
        monkeypatch.setattr(module, 'row_strips', partial(row_strips, pixels=pixels))


@pytest.mark.parametrize(
    ('height', 'width', 'pixels', 'expected'),
    [
        (5, 3, 6, [(0, 2), (2, 4), (4, 5)]),
        (4, 3, 6, [(0, 2), (2, 4)]),
        (2, 9, 6, [(0, 1), (1, 2)]),  # no strip is thinner than a row
        (3, 0, 6, [(0, 3)]),
        (0, 3, 6, []),
    ],
)
def test_strips_cover_each_row_once(height, width, pixels, expected):
    assert [(rows.start, rows.stop) for rows in row_strips(height, width, pixels)] == expected


def test_a_picture_of_cityscapes_is_one_strip():
    assert list(row_strips(1024, 2048)) == [slice(0, 1024)]
    assert STRIP_PIXELS == 1024 * 2048


@pytest.mark.parametrize('backend', ['cv2', 'cc3d'])
@pytest.mark.parametrize('pixels', [1, 61, 7 * 60])
def test_regions_in_strips(monkeypatch, backend, pixels):
    if backend == 'cc3d':
        pytest.importorskip('cc3d')
    label_map = np.random.default_rng(0).integers(0, 3, (40, 60))
    at_once = connected_regions(label_map, [-1, 0, 1], backend=backend)
    _in_strips_of(monkeypatch, pixels)
    in_strips = connected_regions(label_map, [-1, 0, 1], backend=backend)
    assert len(at_once) > 20
    for field in ('region_map', 'ids', 'labels', 'bboxes', 'areas'):
        assert np.array_equal(getattr(in_strips, field), getattr(at_once, field)), field


@pytest.mark.parametrize('pixels', [1, 61, 7 * 60])
def test_means_and_names_in_strips(monkeypatch, pixels):
    label_map = np.random.default_rng(0).integers(0, 3, (40, 60))
    table = connected_regions(label_map, [-1, 0, 1], min_area=3)
    region_map, ids = torch.from_numpy(table.region_map), torch.from_numpy(table.ids)
    values = torch.rand(4, 40, 60)
    means = region_means(region_map, ids, values)
    found = InstanceData(ids=ids, fine_labels=torch.arange(len(ids)) % 2, fine_scores=torch.rand(len(ids), 2))
    probs, composed = torch.rand(3, 40, 60), torch.zeros(2, 40, 60, dtype=torch.int16)
    for plane, votes in zip(composed, (None, probs)):
        write_regions(plane, region_map, found, TAXONOMY, votes)
    _in_strips_of(monkeypatch, pixels)
    torch.testing.assert_close(region_means(region_map, ids, values), means, rtol=1e-12, atol=1e-12)
    for plane, votes in zip(composed, (None, probs)):
        again = torch.zeros(40, 60, dtype=torch.int16)
        write_regions(again, region_map, found, TAXONOMY, votes)
        assert torch.equal(again, plane)
        assert set(again.unique().tolist()) == {0, 1, 2}
