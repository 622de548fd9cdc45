"""Joined regions by hand."""

import numpy as np

from deepunetto_mm.utils.joining import join_regions

# Names: 0 dress (group 0), 1 skirt and 2 jeans (group 1).
GROUP_OF_FINE = (0, 1, 1)
# The dress is 2 above and 5 below; 7 touches it and is jeans, and 300 is a dress elsewhere.
REGION_MAP = np.array([[2, 2, 0, 0], [2, 5, 0, 0], [5, 5, 0, 0], [7, 0, 0, 300]], np.int32)
DRESS, SKIRT, JEANS = np.eye(3, dtype=np.float32) * 0.8 + 0.1


def _regions(labels, scores):
    return dict(
        ids=np.array([2, 5, 7, 300]),
        labels=np.array(labels),
        bboxes=np.array([[0, 0, 2, 2], [0, 1, 2, 3], [0, 3, 1, 4], [3, 3, 4, 4]], np.float32),
        areas=np.array([3, 3, 1, 1]),
        fine_scores=np.stack(scores),
        scores=np.array([0.9, 0.3, 0.5, 0.5], np.float32),
    )


def test_parts_of_a_dress_become_one():
    given = _regions([0, 1, 1, 0], [DRESS, DRESS, JEANS, DRESS])
    region_map, joined = join_regions(REGION_MAP, given, GROUP_OF_FINE)
    assert region_map.tolist() == [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [7, 0, 0, 300]]
    assert region_map.dtype == np.int32
    assert joined['ids'].tolist() == [2, 7, 300]
    assert joined['labels'].tolist() == [0, 1, 0]
    assert joined['bboxes'].tolist() == [[0, 0, 2, 3], [0, 3, 1, 4], [3, 3, 4, 4]]
    assert joined['areas'].tolist() == [6, 1, 1]
    np.testing.assert_allclose(joined['scores'], [0.6, 0.5, 0.5])
    np.testing.assert_allclose(joined['fine_scores'], [DRESS, JEANS, DRESS], rtol=1e-6)
    assert given['bboxes'][0].tolist() == [0, 0, 2, 2]  # what was given is as it was
    assert {key: value.dtype for key, value in joined.items()} == {key: value.dtype for key, value in given.items()}


def test_means_are_weighted_by_area_and_chains_are_one():
    """5 and 7, and 2 and 5: all three are one, by 3, 3 and 1 pixels."""
    given = _regions([1, 0, 1, 0], [SKIRT, SKIRT, JEANS, DRESS])
    region_map, joined = join_regions(REGION_MAP, given, GROUP_OF_FINE)
    assert joined['ids'].tolist() == [2, 300]
    assert np.unique(region_map).tolist() == [0, 2, 300]
    np.testing.assert_allclose(joined['fine_scores'][0], (6 * SKIRT + JEANS) / 7, rtol=1e-6)
    np.testing.assert_allclose(joined['scores'][0], (3 * 0.9 + 3 * 0.3 + 0.5) / 7, rtol=1e-6)


def test_regions_that_were_separated_on_purpose_stay_apart():
    """Two dresses side by side, of the same group by the segmentation too; and two names of different groups."""
    for labels, scores in (([0, 0, 1, 0], [DRESS, DRESS, JEANS, DRESS]), ([0, 1, 1, 0], [DRESS, SKIRT, JEANS, DRESS])):
        given = _regions(labels, scores)
        region_map, joined = join_regions(REGION_MAP, given, GROUP_OF_FINE)
        np.testing.assert_array_equal(region_map, REGION_MAP)
        assert all(joined[key] is given[key] for key in given)


def test_no_region():
    none = {key: value[:0] for key, value in _regions([0, 1, 1, 0], [DRESS] * 4).items()}
    region_map, joined = join_regions(np.zeros((2, 3), np.int32), none, GROUP_OF_FINE)
    assert not region_map.any()
    assert [len(value) for value in joined.values()] == [0] * 6
