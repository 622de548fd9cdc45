"""Borders between touching objects: targets and loss by hand."""

import copy
import math

import pytest
import torch
from mmengine.structures import PixelData
from torch import nn

from deepunetto_mm.models import BorderHead
from deepunetto_mm.models.dense_heads.border_head import touching

DOG, CAT = 1, 2
TAXONOMY = dict(
    classes=['grass', 'dog', 'cat'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle']),
        dict(name='cat', members=['cat'], fine_classes=['tabby']),
    ],
)
NO_CROPS = dict(crop_neck=None, fine_backbone=None, fine_head=None)


def _grid(rows):
    return torch.tensor([[int(digit) for digit in row] for row in rows.split()])[None]


def _drawn(border):
    return [''.join('x' if pixel else '.' for pixel in row) for row in border[0]]


def test_a_border_is_where_two_regions_are_near():
    two = _grid('1112220 1112220 0000000')
    assert _drawn(touching(two, 1)) == ['..xx...', '..xx...', '..xx...']
    assert _drawn(touching(two, 2)) == ['.xxxx..', '.xxxx..', '.xxxx..']
    # So is a gap between them, if it is narrow enough.
    assert _drawn(touching(_grid('1110222'), 1)) == ['...x...']
    assert _drawn(touching(_grid('1100022'), 1)) == ['.......']
    assert _drawn(touching(_grid('1100022'), 2)) == ['...x...']
    # Parts of one region, the edge of the picture, the padding and nothing have none.
    assert not touching(_grid('1110111'), 3).any()
    assert not touching(torch.where(two == 2, 255, two), 3).any()
    assert not touching(torch.zeros(2, 3, 3, dtype=torch.long), 1).any()
    # Ids that bfloat16 would not keep apart.
    assert touching(torch.where(two > 0, two + 60000, 0), 1).sum() == 6


def _head(**options):
    return BorderHead(4, **{**dict(taxonomy=TAXONOMY, channels=8), **options})


def test_the_hidden_layer_has_the_wanted_norm():
    assert isinstance(_head().hidden.norm, nn.BatchNorm2d)
    assert _head(norm_cfg=dict(type='GN', num_groups=2)).hidden.norm.num_groups == 2


def test_the_loss_is_a_mean_over_borders_and_regions_that_weights_borders(scene):
    # Two dogs of 2 pixels touch; of the gap between the second and the third, one pixel is border.
    boxes = [(0, 0, 2, 1, DOG), (2, 0, 4, 1, DOG), (5, 0, 6, 1, CAT)]
    _, sample = scene(boxes, [0, 0, 2], size=(1, 9))
    logits = torch.zeros(1, 1, 1, 9)
    logits[..., 1:3] = logits[..., 4] = math.log(3)  # a probability of 3/4 on the border
    logits[..., 6:] = 9.0  # where nothing is cut
    head = _head(radius=1, border_weight=5.0, loss_weight=2.0)
    expected = (15 * math.log(4 / 3) + 3 * math.log(2)) / 18
    assert head.loss(dict(logits=logits), [sample])['loss_border'].item() == pytest.approx(2 * expected)
    # mmseg pads the mask to the size of the batch, and not the region map; 255 is what the pipeline padded.
    sample.gt_region_map.data[0, 0, 8] = sample.gt_sem_seg.data[0, 0, 8] = 255
    padded = copy.deepcopy(sample)
    del padded.gt_sem_seg
    padded.gt_sem_seg = PixelData(data=torch.nn.functional.pad(sample.gt_sem_seg.data, (0, 4, 0, 2), value=255))
    wide = torch.nn.functional.pad(logits, (0, 4, 0, 2), value=9.0)
    assert head.loss(dict(logits=wide), [padded])['loss_border'].item() == pytest.approx(2 * expected)


def test_training_resizes_borders_as_predictions_do(tiny, tiny_decoder, scene):
    head = dict(type='deepunetto_mm.BorderHead', in_channels=8)
    model = tiny(decode_head=tiny_decoder(align_corners=True), dense_heads=dict(borders=head))
    _, sample = scene([(0, 0, 8, 1, DOG)], [0], size=(1, 8))
    logits = torch.tensor([-1.0, 6.0]).view(1, 1, 1, 2)
    loss = model.dense_heads['borders'].loss(dict(logits=logits), [sample])['loss_border']
    expected = torch.arange(-1.0, 6.5, 1)  # from corner to corner
    torch.testing.assert_close(loss, torch.nn.functional.softplus(expected).mean())


@pytest.mark.parametrize('boxes', [[(1, 1, 9, 8, DOG), (9, 2, 17, 9, CAT)], []])
def test_the_loss_reaches_every_parameter(tiny, scene, boxes):
    head = dict(type='deepunetto_mm.BorderHead', in_channels=8, channels=8)
    proposer = dict(type='deepunetto_mm.ConnectedComponentsProposer')
    names = dict(type='deepunetto_mm.FineMapHead', in_channels=[8, 8], in_index=(0, 1), channels=8)
    model = tiny(
        dense_heads=dict(borders=head, names=names),
        region_names='names.logits',
        region_proposer=proposer,
        **NO_CROPS,
    )
    picture, sample = scene(boxes, [0, 2][: len(boxes)])
    losses = model.loss(picture[None], [sample])
    assert (losses['borders.loss_border'] > 0) == bool(boxes)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_bad_options():
    with pytest.raises(ValueError, match='BorderHead needs the taxonomy'):
        _head(taxonomy=None)
    with pytest.raises(ValueError, match='radius must be at least 1 and border_weight above 0, got 0 and 10.0'):
        _head(radius=0)
