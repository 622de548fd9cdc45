import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.structures.frames import pad_region_map, replace_fields, to_input_frame

# Region 1 above, two pixels wide; region 7 below on the right.
MAP = torch.tensor([[1, 1, 0], [0, 0, 7]])
BOXES = [[0, 0, 2, 1], [2, 1, 3, 2]]


def _regions(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(ids=torch.tensor([1, 7])[: len(boxes)], bboxes=boxes)


def _box_of(region_map, region_id):
    rows, columns = torch.nonzero(region_map == region_id, as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


def test_an_input_that_is_the_original_changes_nothing():
    regions, region_map = to_input_frame(_regions(BOXES), MAP, {}, (2, 3))
    assert regions.bboxes.tolist() == BOXES
    assert regions.ids.tolist() == [1, 7]
    assert region_map.tolist() == MAP.tolist()
    assert region_map.dtype == torch.int64


def test_twice_the_size():
    regions, region_map = to_input_frame(_regions(BOXES), MAP, {}, (4, 6))
    assert regions.bboxes.tolist() == [[0, 0, 4, 2], [4, 2, 6, 4]]
    upper, lower = [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 7, 7]
    assert region_map.tolist() == [upper, upper, lower, lower]


def test_each_side_has_its_own_factor():
    regions, region_map = to_input_frame(_regions(BOXES), MAP, {}, (6, 3))
    assert regions.bboxes.tolist() == [[0, 0, 2, 3], [2, 3, 3, 6]]
    assert region_map.tolist() == [[1, 1, 0]] * 3 + [[0, 0, 7]] * 3


def test_a_middle_on_a_border_is_in_the_pixel_behind():
    # The middles of pixels 0 to 2 are at 1, 3 and 5 of 6.
    _, region_map = to_input_frame(_regions([]), torch.arange(6)[None], {}, (1, 3))
    assert region_map.tolist() == [[1, 3, 5]]
    # 20.5 times 2 / 41 is 1, and less in rounded numbers.
    _, region_map = to_input_frame(_regions([]), torch.arange(2)[None], {}, (1, 41))
    assert region_map[0].tolist() == [0] * 20 + [1] * 21


@pytest.mark.parametrize(
    ('direction', 'boxes', 'region_map'),
    [
        ('horizontal', [[1, 0, 3, 1], [0, 1, 1, 2]], [[0, 1, 1], [7, 0, 0]]),
        ('vertical', [[0, 1, 2, 2], [2, 0, 3, 1]], [[0, 0, 7], [1, 1, 0]]),
    ],
)
def test_flip(direction, boxes, region_map):
    meta = dict(flip=True, flip_direction=direction)
    regions, flipped = to_input_frame(_regions(BOXES), MAP, meta, (2, 3))
    assert regions.bboxes.tolist() == boxes
    assert flipped.tolist() == region_map


def test_a_direction_without_flip_means_nothing():
    regions, _ = to_input_frame(_regions(BOXES), MAP, dict(flip=False, flip_direction='horizontal'), (2, 3))
    assert regions.bboxes.tolist() == BOXES


def test_padding_comes_around_what_was_flipped():
    meta = dict(flip=True, flip_direction='horizontal', padding_size=(2, 1, 1, 0))  # left, right, top, bottom
    regions, region_map = to_input_frame(_regions(BOXES), MAP, meta, (3, 6))
    assert regions.bboxes.tolist() == [[3, 1, 5, 2], [2, 2, 3, 3]]
    assert region_map.tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 7, 0, 0, 0]]


def test_the_pipelines_padding_goes_before_the_preprocessors():
    meta = dict(img_padding_size=(0, 1, 0, 1), padding_size=(0, 9, 0, 9))
    regions, region_map = to_input_frame(_regions(BOXES), MAP, meta, (3, 4))
    assert regions.bboxes.tolist() == BOXES
    assert region_map.tolist() == [[1, 1, 0, 0], [0, 0, 7, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_boxes_and_map_agree_after_all_at_once(direction):
    """By another way: the boxes are read off the map that was moved."""
    meta = dict(flip=True, flip_direction=direction, padding_size=(3, 0, 0, 5))
    regions, region_map = to_input_frame(_regions(BOXES), MAP, meta, (4 * 2 + 5, 2 * 3 + 3))
    assert region_map.shape == (13, 9)
    assert regions.bboxes.tolist() == [_box_of(region_map, 1), _box_of(region_map, 7)]


def test_ids_beyond_float32_and_bytes_are_kept():
    large = 2**24 + 1  # float32 would round it to 2**24
    region_map = torch.tensor([[300, large]])
    _, moved = to_input_frame(_regions([[0, 0, 1, 1], [1, 0, 2, 1]]), region_map, {}, (2, 4))
    assert moved.tolist() == [[300, 300, large, large]] * 2


def test_no_region_is_normal():
    regions, region_map = to_input_frame(_regions([]), torch.zeros(2, 3, dtype=torch.int64), {}, (4, 6))
    assert regions.bboxes.shape == (0, 4)
    assert region_map.tolist() == [[0] * 6] * 4


def test_original_is_left_as_it_was():
    regions = _regions(BOXES)
    to_input_frame(regions, MAP, dict(flip=True, flip_direction='vertical'), (4, 6))
    assert regions.bboxes.tolist() == BOXES
    assert MAP.tolist() == [[1, 1, 0], [0, 0, 7]]


def test_replace_fields_replaces_and_adds_in_a_copy():
    regions = _regions(BOXES)
    other = replace_fields(regions, bboxes=regions.bboxes + 1, labels=torch.tensor([0, 1]))
    assert other.bboxes.tolist() == [[1, 1, 3, 2], [3, 2, 4, 3]]
    assert other.labels.tolist() == [0, 1]
    assert other.ids.tolist() == [1, 7]
    assert regions.bboxes.tolist() == BOXES
    assert 'labels' not in regions.keys()


def test_pad_region_map_adds_no_region_below_and_on_the_right():
    assert pad_region_map(MAP, (3, 5)).tolist() == [[1, 1, 0, 0, 0], [0, 0, 7, 0, 0], [0, 0, 0, 0, 0]]
    assert pad_region_map(MAP, (2, 3)).tolist() == MAP.tolist()
