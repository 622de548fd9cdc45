"""The cutting itself is tested by tests/models/regions/test_distance_watershed.py."""

import numpy as np

from deepunetto_mm.utils.necks import cut_at_necks, flood


def test_two_squares_are_cut_at_the_bridge_between_them():
    mask = np.zeros((9, 21), bool)
    mask[:, :9] = mask[:, 12:] = mask[4, :] = True
    parts = cut_at_necks(mask, 0.5)
    assert (parts[:, :9] == parts[0, 0]).all()
    assert (parts[:, 12:] == parts[0, 20]).all()
    assert sorted((parts[0, 0], parts[0, 20])) == [1, 2]
    assert ((parts > 0) == mask).all()
    assert (cut_at_necks(mask[:, :9], 0.5) == 1).all()


def test_parts_below_the_smallest_area_go_to_their_neighbours():
    mask = np.ones((1, 10), bool)
    seeds = np.zeros((1, 10), int)
    seeds[0, 0], seeds[0, 9] = 1, 2
    height = np.abs(np.arange(10.0) - 2)[None]  # the watershed is at column 0: one pixel against nine
    assert len(np.unique(flood(-height, seeds, mask))) == 2
    assert (flood(-height, seeds, mask, min_area=4) == 1).all()
