"""Components by torch, on the CPU and, where there is one, on a GPU: equal to those of the host in every value."""

import numpy as np
import pytest
import torch

from deepunetto_mm.ops import (
    connected_regions,
    connected_regions_on_device,
    number_components,
    number_components_on_device,
)

GROUPS = (-1, 0, 0, 1)
RNG = np.random.default_rng(0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICES = ['cpu', pytest.param('cuda', marks=needs_gpu)]


def _spiral(turns: int) -> np.ndarray:
    """One line, a pixel wide, with as much room between its turns."""
    side, place = 4 * turns + 1, np.array([0, 0])
    line = np.zeros((side, side), np.int64)
    for number in range(4 * turns):
        step = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)][number % 4])
        for _ in range(side - 1 - 2 * (max(number - 1, 0) // 2)):
            line[tuple(place)] = 1
            place += step
    return line


def _snake(rows: int) -> np.ndarray:
    """A line to and fro, of as many rows, which begins at its right."""
    snake = np.zeros((2 * rows - 1, 7), np.int64)
    snake[::2] = 1
    snake[1::4, 0] = snake[3::4, -1] = 1
    return snake


MAPS = {
    'noise': RNG.choice([0, 1, 2, 3, 255], (40, 50), p=[0.4, 0.2, 0.1, 0.25, 0.05]),
    'dense noise': RNG.integers(1, 4, (37, 53)).astype(np.uint8),
    'near the percolation threshold': (RNG.random((60, 70)) < 0.59).astype(np.int64),
    'one row': RNG.integers(0, 4, (1, 60)),
    'one column': RNG.integers(0, 4, (60, 1)),
    'one pixel': np.ones((1, 1), np.int64),
    'board': np.indices((20, 30)).sum(0) % 2,
    'snake': _snake(100),
    'snake of columns': _snake(100).T[::-1],
    'spiral': _spiral(20),
    'spiral of another class': 3 * _spiral(7)[::-1].T,
    'full': np.ones((9, 8), np.int64),
    'nothing': np.zeros((3, 4), np.int64),
    'ignored': np.full((3, 4), 255, np.uint8),
    'labels out of range': np.array([[-1, 4, 1000, 1]]),
    'no row': np.zeros((0, 4), np.int64),
    'no column': np.zeros((4, 0), np.int64),
}


def _assert_equal(table, expected) -> None:
    for field in ('region_map', 'ids', 'labels', 'bboxes', 'areas'):
        own, other = getattr(table, field).cpu().numpy(), getattr(expected, field)
        assert own.dtype == other.dtype, field
        np.testing.assert_array_equal(own, other, field)


def test_by_hand():
    labels = torch.tensor([[1, 0, 0, 0, 0], [1, 2, 3, 3, 0], [0, 0, 0, 0, 255], [0, 1, 0, 0, 0]])
    table = connected_regions_on_device(labels, GROUPS)
    assert table.region_map.tolist() == [[1, 0, 0, 0, 0], [1, 1, 2, 2, 0], [0, 0, 0, 0, 0], [0, 3, 0, 0, 0]]
    assert (table.ids.tolist(), table.labels.tolist(), table.areas.tolist()) == ([1, 2, 3], [0, 1, 0], [3, 2, 1])
    assert table.bboxes.tolist() == [[0, 0, 2, 2], [2, 1, 4, 2], [1, 3, 2, 4]]


def test_the_maps_are_what_they_are_called():
    assert connected_regions(_spiral(20), GROUPS, connectivity=4).areas.tolist() == [_spiral(20).sum()] == [3358]
    assert connected_regions(_snake(100), GROUPS, connectivity=4).areas.tolist() == [_snake(100).sum()]
    assert len(connected_regions(MAPS['board'], GROUPS, connectivity=4)) == 300  # the id 255 is left out


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('name', MAPS)
def test_regions_are_those_of_the_host(name, device):
    labels = np.ascontiguousarray(MAPS[name])
    for connectivity in (4, 8):
        of_groups = dict(min_area=[9, 2])
        for options in ({}, dict(by_class=True), dict(min_area=3, max_regions=5), dict(max_regions=0), of_groups):
            expected = connected_regions(labels, GROUPS, connectivity, backend='cv2', **options)
            own = connected_regions_on_device(torch.from_numpy(labels).to(device), GROUPS, connectivity, **options)
            _assert_equal(own, expected)


@pytest.mark.parametrize('device', DEVICES)
def test_numbers_that_need_not_be_connected_are_those_of_the_host(device):
    components = RNG.integers(0, 9, (30, 40)).astype(np.int32)
    for count, options in ((8, {}), (8, dict(min_area=110)), (12, dict(max_regions=3))):
        expected = number_components(components.copy(), count, components, **options)
        here = torch.from_numpy(components).to(device)
        _assert_equal(number_components_on_device(here, count, here, **options), expected)
