"""Joined regions by hand."""

import numpy as np

from deepunetto_mm.utils.joining import join_regions

# Names: dress (group 0), skirt and jeans (group 1), scarf (group 2).
GROUP_OF_FINE = (0, 1, 1, 2)
# The dress is 2 above and 5 below; 7 touches it and is jeans, and 300 is a dress elsewhere.
REGION_MAP = np.array([[2, 2, 0, 0], [2, 5, 0, 0], [5, 5, 0, 0], [7, 0, 0, 300]], np.int32)
DRESS, SKIRT, JEANS, SCARF = np.eye(4, dtype=np.float32) * 0.6 + 0.1


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
    np.testing.assert_allclose(joined['fine_scores'], [[1, 0, 0, 0], JEANS, DRESS], rtol=1e-6)
    assert given['bboxes'][0].tolist() == [0, 0, 2, 2]  # what was given is as it was
    assert {key: value.dtype for key, value in joined.items()} == {key: value.dtype for key, value in given.items()}


def test_means_are_weighted_by_area_and_chains_are_one():
    """5 and 7, and 2 and 5: all three are one, by 3, 3 and 1 pixels."""
    given = _regions([1, 0, 2, 0], [SKIRT, SKIRT, JEANS, DRESS])
    region_map, joined = join_regions(REGION_MAP, given, GROUP_OF_FINE)
    assert joined['ids'].tolist() == [2, 300]
    assert np.unique(region_map).tolist() == [0, 2, 300]
    # 0.8 of the mean is of skirts and jeans.
    mean = (6 * SKIRT + JEANS)[1:3] / 7
    np.testing.assert_allclose(joined['fine_scores'][0], [0, *mean / 0.8, 0], rtol=1e-6)
    np.testing.assert_allclose(joined['scores'][0], (3 * 0.9 + 3 * 0.3 + 0.5) / 7, rtol=1e-6)


def test_regions_that_were_separated_on_purpose_stay_apart():
    """Two dresses side by side, of the same group by the segmentation too; and two names of different groups."""
    for labels, scores in (([0, 0, 1, 0], [DRESS, DRESS, JEANS, DRESS]), ([0, 1, 1, 0], [DRESS, SKIRT, JEANS, DRESS])):
        given = _regions(labels, scores)
        region_map, joined = join_regions(REGION_MAP, given, GROUP_OF_FINE)
        np.testing.assert_array_equal(region_map, REGION_MAP)
        assert all(joined[key] is given[key] for key in given)


def test_what_touches_two_separated_regions_joins_one_of_them():
    """2 and 7 are two dresses, a pixel apart; 5 is a piece of one of them."""
    region_map, joined = join_regions(REGION_MAP, _regions([0, 1, 0, 0], [DRESS] * 4), GROUP_OF_FINE)
    assert region_map.tolist() == [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [7, 0, 0, 300]]
    assert joined['areas'].tolist() == [6, 1, 1]


def test_the_name_stays_in_the_group_that_joined():
    """A skirt and jeans, and in both a dress is the second choice: their mean would be a dress."""
    skirt, jeans = (np.array(scores, np.float32) for scores in ([0.4, 0.5, 0.1, 0], [0.4, 0.1, 0.5, 0]))
    _, joined = join_regions(REGION_MAP, _regions([0, 1, 2, 0], [skirt, jeans, SCARF, DRESS]), GROUP_OF_FINE)
    np.testing.assert_allclose(joined['fine_scores'][0], [0, 0.5, 0.5, 0], rtol=1e-6)


def test_other_ids_of_the_map_and_whole_numbers_stay():
    region_map = np.where(REGION_MAP == 7, 255, REGION_MAP).astype(np.int16)
    given = {key: value[[0, 1, 3]] for key, value in _regions([0, 1, 1, 0], [DRESS] * 4).items()}
    joined_map, joined = join_regions(region_map, dict(given, row=np.array([4, 7, 9])), GROUP_OF_FINE)
    assert joined_map.tolist() == [[2, 2, 0, 0], [2, 2, 0, 0], [2, 2, 0, 0], [255, 0, 0, 300]]
    assert (joined_map.dtype, joined['row'].tolist()) == (np.int16, [4, 9])


def test_no_region():
    none = {key: value[:0] for key, value in _regions([0, 1, 1, 0], [DRESS] * 4).items()}
    region_map, joined = join_regions(np.zeros((2, 3), np.int32), none, GROUP_OF_FINE)
    assert not region_map.any()
    assert [len(value) for value in joined.values()] == [0] * 6
