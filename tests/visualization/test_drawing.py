"""Tints, outlines, and places of labels."""

import numpy as np
import pytest
import torch
from PIL import Image

from deepunetto_mm.visualization import drawing


def test_colours_differ_and_do_not_depend_on_their_number():
    colours = drawing.distinct_colours(24)
    assert len(set(colours)) == 24
    assert drawing.distinct_colours(5) == colours[:5]


def test_inputs_become_rgb_of_the_shape_wanted():
    inputs = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(3, 1, 1).expand(3, 4, 6)
    image = drawing.rgb_from_inputs(inputs, (8, 3))
    assert image.shape == (8, 3, 3)
    assert (image == (30, 20, 10)).all()


def test_normalised_inputs_cannot_be_drawn():
    with pytest.raises(ValueError, match='torch.float32.*data_preprocessor'):
        drawing.rgb_from_inputs(torch.zeros(3, 4, 4), (4, 4))


def test_magnify_repeats_pixels():
    assert drawing.magnify(np.array([[1, 2]]), 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_tint_mixes_known_classes_only():
    image = np.full((1, 4, 3), 100, np.uint8)
    tinted = drawing.tint(image, np.array([[0, 1, 255, -1]]), [(0, 0, 0), (200, 0, 100)], alpha=0.25)
    # Black is left alone; 100 * 0.75 + 0.25 * (200, 0, 100); no class; no class.
    assert tinted.tolist() == [[[100] * 3, [125, 75, 100], [100] * 3, [100] * 3]]
    assert (image == 100).all()
    assert (drawing.tint(image, np.ones((1, 4), int), [(0, 0, 0), (200, 0, 100)], alpha=0) == 100).all()


def test_heat_map_goes_from_dark_blue_to_yellow():
    low, middle, high = [68, 1, 84], [32, 144, 140], [253, 231, 36]  # of viridis
    coloured = drawing.heat_map(np.array([[2.0, 6.0], [10.0, 11.0]], np.float32), 2.0, 10.0)
    assert coloured.dtype == np.uint8
    assert coloured.tolist() == [[low, middle], [high, high]]
    assert drawing.heat_map(np.ones(2), 1.0, 1.0).tolist() == [low, low]


def test_outlines_lie_inside_their_regions_and_close_at_the_border():
    region_map = np.zeros((6, 9), np.uint16)
    region_map[:5, :4] = 7  # cut off by the border above and to the left
    region_map[:5, 4:7] = 300  # touches it
    assert drawing.outline(region_map, 1).astype(int).tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 0, 0, 1, 1, 0, 1, 0, 0],
        [1, 0, 0, 1, 1, 0, 1, 0, 0],
        [1, 0, 0, 1, 1, 0, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert drawing.outline(region_map, 2).sum() == 35


def test_box_is_drawn_inside_its_half_open_bounds():
    canvas = Image.new('RGB', (6, 5))
    drawing.draw_box(canvas, np.array([1, 1, 5, 4]), (9, 9, 9))
    assert (np.array(canvas)[..., 0] // 9).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_label_stands_above_its_box_or_below_at_the_upper_border():
    boxes = np.array([[20, 30, 60, 60], [20, 0, 60, 10]])
    places = drawing.place_labels(boxes[:1], [(30, 10)], 100, 100)
    assert places == [(20, 20)]
    # Above does not fit and is moved inside, since a label may cover its own box.
    assert drawing.place_labels(boxes[1:], [(30, 10)], 100, 100) == [(20, 0)]


def test_labels_neither_overlap_nor_leave_the_picture():
    generator = np.random.default_rng(0)
    corners = generator.integers(0, 180, (60, 2))
    boxes = np.concatenate([corners, corners + generator.integers(1, 40, (60, 2))], axis=1)
    places = drawing.place_labels(boxes, [(50, 12)] * 60, 200, 200)
    covered = np.zeros((200, 200), int)
    for place in places:
        if place is not None:
            x, y = place
            assert 0 <= x <= 150
            assert 0 <= y <= 188
            covered[y : y + 12, x : x + 50] += 1
    assert covered.max() == 1
    assert 20 < sum(place is not None for place in places) < 60


def test_a_label_without_a_free_place_is_left_out():
    assert drawing.place_labels(np.array([[0, 0, 9, 9]] * 2), [(10, 10)] * 2, 10, 10) == [(0, 0), None]


def test_long_text_is_cut_to_the_width():
    assert drawing.shorten('daisy', 12, 200) == 'daisy'
    cut = drawing.shorten('an incredibly long name', 12, 60)
    assert cut.endswith('…')
    assert cut.startswith('an')
    assert drawing.text_size(cut, 12)[0] <= 60


def test_text_contrasts_with_its_background():
    for background, expected in (((255, 255, 0), 0), ((0, 0, 120), 255)):
        canvas = Image.new('RGB', (80, 30))
        drawing.draw_text(canvas, (10, 5), 'HHH', 14, background)
        drawn = np.array(canvas)
        width, height = drawing.text_size('HHH', 14)
        assert (drawn == expected).all(axis=-1).any()
        assert drawn[5, 10].tolist() == drawn[5 + height - 1, 10 + width - 1].tolist() == list(background)
        assert not drawn[:5].any()
        assert not drawn[:, 10 + width :].any()


def test_legend_wraps_and_is_empty_without_entries():
    entries = [('first', (255, 0, 0)), ('second', (0, 255, 0)), ('third', (0, 0, 255))]
    one_line, many_lines = drawing.legend(entries, 300, 12), drawing.legend(entries, 70, 12)
    assert one_line.shape[1:] == (300, 3)
    assert many_lines.shape[0] > 2.5 * one_line.shape[0]
    for _, colour in entries:
        assert (many_lines == colour).all(axis=-1).any()
    assert drawing.legend([], 300, 12).shape == (0, 300, 3)


def test_outline_of_more_regions_than_sixteen_bits_number():
    region_map = np.zeros((5, 6), np.int32)
    region_map[:, :3], region_map[:, 3:] = 65536, 131072  # both 0 in 16 bits
    expected = drawing.outline(np.minimum(region_map // 65536, 2).astype(np.uint16), 1)
    assert np.array_equal(drawing.outline(region_map, 1), expected)
    assert expected[2].tolist() == [True, False, True, True, False, True]
