import torch

from deepunetto_mm.ops import boxes_to_rois, centred_boxes, expand_boxes, jitter_boxes

BOXES = torch.tensor([[2.0, 4.0, 6.0, 6.0]])


def test_rois_carry_the_picture():
    rois = boxes_to_rois([BOXES, BOXES[:0], BOXES + 1])
    assert rois.tolist() == [[0, 2, 4, 6, 6], [2, 3, 5, 7, 7]]
    assert boxes_to_rois([BOXES[:0], BOXES[:0]]).shape == (0, 5)


def test_margin_keeps_the_centre():
    assert expand_boxes(BOXES, 0.25).tolist() == [[1, 3.5, 7, 6.5]]


def test_aspect_grows_the_shorter_side():
    assert expand_boxes(BOXES, 0, aspect=1.0).tolist() == [[2, 3, 6, 7]]
    assert expand_boxes(BOXES, 0, aspect=4.0).tolist() == [[0, 4, 8, 6]]


def test_jitter_stays_within_its_bound():
    torch.manual_seed(0)
    boxes = BOXES.repeat(1000, 1)
    shift = (jitter_boxes(boxes, 0.1) - boxes).abs().amax(0)
    assert torch.all(shift <= torch.tensor([0.4, 0.2, 0.4, 0.2]))
    assert torch.all(shift > torch.tensor([0.39, 0.19, 0.39, 0.19]))
    torch.testing.assert_close(jitter_boxes(boxes, 0.0), boxes)


def test_centred_boxes_have_one_size():
    boxes = torch.cat([BOXES, BOXES * 3])
    assert centred_boxes(boxes, 4.0, 6.0).tolist() == [[2, 2, 6, 8], [10, 12, 14, 18]]
