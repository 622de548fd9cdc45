"""Regions on arrays, beside those of the network's own proposers."""

import numpy as np
import pytest
import torch

from deepunetto_mm.models import BorderWatershed, CentreOffsetProposer
from deepunetto_mm.ops import nearest_points as nearest_on_tensors
from deepunetto_mm.runtime import proposers
from deepunetto_mm.runtime.proposers import find_centres, nearest_points, propose
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['sky', 'cytoplasm', 'nucleus', 'dog'],
        groups=[
            dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['a', 'b']),
            dict(name='dog', members=['dog'], fine_classes=['poodle']),
        ],
    )
)
KINDS = {'centres.heat': 'heat', 'centres.vectors': 'vectors'}
OPTIONS = dict(connectivity=8, min_area=1, max_regions=None, by_class=False, threshold=0.3, window=3, max_centres=None)


def _maps(height, width, seed):
    """A picture of blocks, some of which point to the hottest pixel around, and some anywhere."""
    generator = np.random.default_rng(seed)
    blocks = generator.choice(4, (height // 4 + 1, width // 4 + 1), p=[0.3, 0.3, 0.2, 0.2])
    labels = np.kron(blocks, np.ones((4, 4), int))[:height, :width]
    heat = generator.choice([0.0, 0.2, 0.5, 0.5, 1.25], (1, height, width), p=[0.8, 0.1, 0.04, 0.04, 0.02])
    vectors = generator.normal(0, 4, (2, height, width))
    vectors[:, generator.random((height, width)) < 0.01] = np.nan
    return {
        'labels': labels.astype(np.int32),
        'centres.heat': heat.astype(np.float32),
        'centres.vectors': vectors.astype(np.float32),
    }


def _expected(maps, **options):
    tensors = {name: torch.from_numpy(value)[None] for name, value in maps.items()}
    labels = tensors.pop('labels')
    probs = torch.ones(1, 2, *labels.shape[1:])
    known = Maps.known(TAXONOMY, tensors, KINDS, labels=labels, group_probs=probs)
    (regions,), region_maps = CentreOffsetProposer(TAXONOMY, **options)(known)
    return regions, region_maps[0].numpy()


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(by_class=True, window=5),
        dict(min_area=[6, 20], connectivity=4),
        dict(max_centres=7, max_regions=9, min_area=3),
        dict(threshold=2.0),  # no centre
        dict(min_area=10**6),  # no region
        dict(by_class=True, min_area=[3, 2], window=1),
    ],
    ids=str,
)
def test_pixels_are_grouped_as_by_the_network(options):
    options = {**OPTIONS, **options}
    for seed, size in enumerate([(40, 56), (23, 31), (5, 3)]):
        maps = _maps(*size, seed)
        if options['max_centres']:  # which of equally hot ones are left, torch does not say
            maps['centres.heat'] += np.arange(size[1], dtype=np.float32) / 1e4 + np.arange(size[0])[:, None] / 1e6
        expected, region_map = _expected(maps, **options)
        found, objectness = propose(dict(options, type='CentreOffsetProposer', head='centres'), TAXONOMY, maps)
        np.testing.assert_array_equal(found.region_map, region_map)
        np.testing.assert_array_equal(objectness, expected.objectness)
        assert objectness.dtype == np.float32
        for column, theirs in (('ids', 'ids'), ('labels', 'labels'), ('bboxes', 'bboxes'), ('areas', 'areas')):
            np.testing.assert_array_equal(getattr(found, column), expected[theirs])
        assert seed == 2 or (len(found) > 5) == (options['min_area'] != 10**6)


@pytest.mark.parametrize(
    'options', [{}, dict(across_groups=True), dict(across_groups=True, min_area=[6, 20], min_seed=4)], ids=str
)
def test_regions_are_cut_along_borders_as_by_the_network(options):
    own = dict(connectivity=8, min_area=1, max_regions=None, by_class=False, threshold=0.3, min_seed=1) | options
    for seed, size in enumerate([(40, 56), (23, 31), (5, 3)]):
        labels = _maps(*size, seed)['labels']
        border = np.random.default_rng(seed).normal(-1, 1, (1, *size)).astype(np.float32)
        known = Maps.known(
            TAXONOMY,
            {'edges.logits': torch.from_numpy(border)[None]},
            {'edges.logits': 'logits'},
            labels=torch.from_numpy(labels)[None],
            group_probs=torch.ones(1, 2, *size),
        )
        (expected,), region_map = BorderWatershed(TAXONOMY, borders='edges.logits', **own)(known)
        described = {'type': 'BorderWatershed', 'borders': 'edges.logits', 'across_groups': False, **own}
        found, objectness = propose(described, TAXONOMY, {'labels': labels, 'edges.logits': border})
        assert objectness is None
        np.testing.assert_array_equal(found.region_map, region_map[0].numpy())
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert seed == 2 or len(found) > 5


def test_a_picture_of_stuff_has_no_region():
    maps = _maps(9, 9, 0)
    maps['labels'][:] = 0
    assert (maps['centres.heat'] > 0.3).any()
    found, objectness = propose(dict(OPTIONS, type='CentreOffsetProposer', head='centres'), TAXONOMY, maps)
    assert (len(found), len(objectness), found.region_map.any()) == (0, 0, False)


def test_of_equally_hot_neighbours_the_first_is_the_centre():
    heat = np.float32([[0.5, 0.5, 0, 0.9], [0, 0, 0, 0.2], [0.3, 0, 0.4, 0]])
    assert find_centres(heat, 0.1, 3, None).tolist() == [[0, 0], [3, 0], [0, 2], [2, 2]]
    assert find_centres(heat, 0.35, 3, None).tolist() == [[0, 0], [3, 0], [2, 2]]
    assert find_centres(heat, 0.1, 3, 2).tolist() == [[0, 0], [3, 0]]
    assert find_centres(heat, 0.1, 5, None).tolist() == [[0, 0], [3, 0]]


@pytest.mark.parametrize('leaf', [1, 50, 2**16])
def test_the_nearest_points_are_exact_and_ties_go_to_the_first(leaf, monkeypatch):
    monkeypatch.setattr(proposers, '_LEAF', leaf)
    generator = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(40), np.arange(30)), -1).reshape(-1, 2)
    for count in (1, 2, 60):
        queries, points = places[generator.random(1200) < 0.5], generator.integers(-5, 45, (count, 2))
        expected = np.square(queries[:, None] - points).sum(2).argmin(1)
        np.testing.assert_array_equal(nearest_points(queries, points), expected)
        on_tensors = nearest_on_tensors(torch.from_numpy(queries).float(), torch.from_numpy(points).float())
        np.testing.assert_array_equal(expected, on_tensors)
    assert nearest_points(queries[:0], points).tolist() == []
