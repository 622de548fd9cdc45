import numpy as np
import pytest

from deepunetto_mm.annotations.polygons import bridged_polygon, draw_parts, pixel_outlines, polygon_mask


@pytest.mark.parametrize(
    ('top', 'left', 'rows', 'columns'),
    [
        (1, 2, (1, 3), (2, 5)),
        (-1, -2, (0, 1), (0, 1)),
        (3, 5, (3, 4), (5, 6)),
        (9, 2, (0, 0), (0, 0)),
        (1, -9, (0, 0), (0, 0)),
        (1, 7, (0, 0), (0, 0)),
    ],
)
def test_a_part_is_cut_off_where_it_leaves_the_picture(top, left, rows, columns):
    expected = np.zeros((4, 6), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(draw_parts([], [(np.ones((2, 3), bool), top, left)], 4, 6), expected)


def test_a_wide_part_beside_the_picture_leaves_nothing():
    assert not draw_parts([], [(np.ones((20, 30), bool), 1, 50)], 10, 40).any()


def test_holes_and_islands_in_them(annotated):
    boxes = ((0, 0, 9, 9), (2, 2, 5, 5), (4, 4, 1, 1))
    mask = polygon_mask([np.array(annotated.box(*corners)) for corners in boxes], 12, 12)
    assert mask.sum() == 81 - 25 + 1
    assert mask[4, 4]
    assert not mask[3, 3]


def test_outlines_by_hand():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:3] = mask[3, 3] = True
    first, second = pixel_outlines(mask)
    assert first.tolist() == [[1, 1], [3, 1], [3, 3], [1, 3]]
    assert second.tolist() == [[3, 3], [4, 3], [4, 4], [3, 4]]
    hole = np.ones((3, 3), bool)
    hole[1, 1] = False
    assert [own.tolist() for own in pixel_outlines(hole)] == [
        [[0, 0], [3, 0], [3, 3], [0, 3]],
        [[1, 2], [2, 2], [2, 1], [1, 1]],
    ]
    assert pixel_outlines(np.zeros((2, 2), bool)) == []


def test_bridged_polygons_fill_what_they_were_made_of():
    random = np.random.default_rng(0)
    for _ in range(200):
        height, width = random.integers(1, 24, 2).tolist()
        mask = random.random((height, width)) < random.random()
        if mask.any():
            np.testing.assert_array_equal(polygon_mask([bridged_polygon(mask)], height, width), mask)
