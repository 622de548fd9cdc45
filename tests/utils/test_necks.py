"""The cutting itself is tested by tests/models/regions/test_distance_watershed.py."""

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

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


def test_small_parts_are_given_away_as_if_all_were_flooded_again():
    rng, given_away = np.random.default_rng(0), 0
    for least in (2, 20, 60, 150, 5000):
        smooth = ndimage.gaussian_filter(rng.normal(size=(2, 60, 70)), (0, 3, 3))
        components, _ = ndimage.label(smooth[0] > -0.02, np.ones((3, 3)))
        mask = components == 1 + np.bincount(components[components > 0])[1:].argmax()
        height = smooth[1].astype(np.float32)
        seeds, count = ndimage.label(mask & (height < -0.03))
        parts = flood(height, seeds, mask, least)
        assert parts.dtype == np.int32
        assert np.array_equal(parts, _flooded_again(height, seeds, mask, least))
        given_away += count - parts.max()
    assert given_away > 20


def _flooded_again(height, seeds, mask, least):
    """As often as there are seeds of parts that are too small."""
    while True:
        parts = watershed(height, seeds, connectivity=2, mask=mask)
        areas = np.bincount(parts.ravel())[1:]
        if len(areas) == 1 or areas.min() >= least:
            return parts
        smallest = areas.argmin() + 1
        seeds = np.where(seeds == smallest, 0, seeds - (seeds > smallest))
