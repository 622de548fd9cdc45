"""A dense head and a proposer that learns, through everything that pictures go through."""

import copy
from typing import Mapping, Sequence

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from deepunetto_mm.models import ConnectedComponentsProposer, DeepUNettoTTA, DenseHead
from deepunetto_mm.models.dense_heads.dense_head import decode, named_kinds
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures.maps import Maps

DOG, CAT, SKY = 1, 2, 3
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT)]


@MODELS.register_module()
class ToyCentreHead(DenseHead):
    """A heat map that is the red of the picture, and vectors whose x is its green and whose y is its blue."""

    kinds = {'heat': 'heat', 'offsets': 'vectors'}

    def __init__(self, in_channels: int, taxonomy: dict) -> None:
        super().__init__(taxonomy)
        self.conv = nn.Conv2d(in_channels, 3, 1, bias=False)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        assert feats[0].dim() == 4
        painted = self.conv(features)
        return dict(heat=painted[:, :1], offsets=painted[:, 1:])

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence) -> dict[str, Tensor]:
        objects = torch.stack([sample.gt_region_map.data for sample in data_samples]) > 0
        return dict(loss_heat=((maps['heat'] - objects.float()) ** 2).mean(), loss_offsets=maps['offsets'].abs().mean())


@MODELS.register_module()
class ToyLearningProposer(ConnectedComponentsProposer):
    """Components of what is hot enough, by a threshold that it learns."""

    def __init__(self, taxonomy: dict, min_area: int = 1) -> None:
        super().__init__(taxonomy, min_area=min_area)
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, maps: Maps) -> tuple[list[InstanceData], Tensor]:
        labels = torch.where(maps['centres.heat'][:, 0] > self.threshold, maps.labels.long(), 0)
        return super().forward(Maps.known(self.taxonomy, labels=labels, group_probs=maps.group_probs))

    def loss(self, maps: Maps, data_samples: Sequence) -> dict[str, Tensor]:
        return dict(loss_threshold=(maps['centres.heat'].mean() - self.threshold) ** 2)


HEADS = dict(centres=dict(type='deepunetto_mm.ToyCentreHead', in_channels=8))
PARTS = dict(dense_heads=HEADS, region_proposer=dict(type='deepunetto_mm.ToyLearningProposer', min_area=4))


def _model(tiny, **options):
    """Features are the picture: what the head paints is known."""
    model = tiny(
        backbone=dict(type='deepunetto_mm.Oracle'),
        decode_head=dict(type='deepunetto_mm.ColourSegmentation'),
        dense_heads=dict(centres=dict(type='deepunetto_mm.ToyCentreHead', in_channels=3)),
        region_proposer=PARTS['region_proposer'],
        **options,
    ).eval()
    model.dense_heads['centres'].conv.weight.data = torch.eye(3).view(3, 3, 1, 1)
    return model


def _seen(model) -> list[Maps]:
    """Maps that the proposer is given from now on."""
    seen: list[Maps] = []
    model.region_proposer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    return seen


@pytest.mark.parametrize('regions', [[0, 2], []])
def test_losses_have_their_slots_and_reach_every_parameter(tiny, scene, regions):
    model = tiny(**copy.deepcopy(PARTS), train_cfg=dict(regions='pred'))
    picture, sample = scene(BOXES[: len(regions)], regions)
    losses = model.loss(picture[None], [sample])
    assert list(losses) == [
        'decode.loss_ce',
        'decode.acc_seg',
        'centres.loss_heat',
        'centres.loss_offsets',
        'regions.loss_threshold',
        'fine.loss_cls',
        'fine.acc',
    ]
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_a_dense_head_without_regions(tiny, scene):
    bare = dict(region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None, taxonomy=None)
    model = tiny(dense_heads=HEADS, **bare)
    picture, sample = scene(BOXES, [0, 2])
    assert set(model.loss(picture[None], [sample])) >= {'centres.loss_heat', 'centres.loss_offsets'}
    assert model.eval().predict(picture[None], [sample])[0].pred_sem_seg.shape == (16, 20)


def test_maps_are_the_same_whichever_way_a_picture_goes(tiny, scene, mode):
    model = _model(tiny, test_cfg=mode)
    picture, sample = scene(BOXES, [0, 2])
    picture = (picture + 0.1 * torch.rand(picture.shape)).clamp(max=1)
    seen = _seen(model)
    with torch.no_grad():
        result = model.predict(picture[None], [sample])[0]
    torch.testing.assert_close(seen[0]['centres.heat'][0, 0], picture[0])
    torch.testing.assert_close(seen[0]['centres.offsets'][0], picture[1:])
    # The cat is green: not hot, and so no region.
    assert result.pred_regions.labels.tolist() == [0]


def test_maps_are_moved_to_the_original_and_averaged_over_views_by_their_kind(tiny, scene):
    model = _model(tiny)
    picture, sample = scene(BOXES, [0, 2])
    flipped = copy.deepcopy(sample)
    flipped.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    seen = _seen(model)
    with torch.no_grad():
        DeepUNettoTTA(module=model).test_step(
            dict(inputs=[[picture], [picture.flip(2)]], data_samples=[[sample], [flipped]])
        )
    torch.testing.assert_close(seen[0]['centres.heat'][0, 0], picture[0])
    # The head paints the same x in the flipped picture, where a true one would point the other way.
    torch.testing.assert_close(seen[0]['centres.offsets'][0, 0], torch.zeros(16, 20))
    torch.testing.assert_close(seen[0]['centres.offsets'][0, 1], picture[2])


def test_heads_that_do_not_fit(tiny, scene):
    with pytest.raises(ValueError, match='dense_heads.centres: .* kind of each of its maps, one of .*heat'):
        named_kinds('centres', nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match='Identity has no forward_features, .* does not call cls_seg'):
        decode(nn.Identity(), [torch.zeros(1, 3, 16, 20)])


@pytest.mark.parametrize(
    'head',
    [
        dict(type='mmseg.FCNHead', in_channels=8, num_convs=1),
        dict(type='mmseg.ASPPHead', in_channels=8, in_index=1, dilations=(1, 2)),
        dict(type='mmseg.UPerHead', in_channels=[8, 8], in_index=[0, 1]),
        dict(type='mmseg.SegformerHead', in_channels=[8, 8], in_index=[0, 1]),
        dict(type='mmseg.DepthwiseSeparableASPPHead', in_channels=8, dilations=(1, 2), c1_in_channels=8, c1_channels=4),
    ],
    ids=lambda head: head['type'],
)
def test_heads_of_mmseg_give_what_their_classifier_reads(head):
    torch.manual_seed(0)
    head = MODELS.build(
        dict(head, channels=8, num_classes=4, dropout_ratio=0.9, norm_cfg=dict(type='GN', num_groups=2))
    )
    feats = [torch.randn(1, 8, 16, 20), torch.randn(1, 8, 8, 10)]
    with torch.no_grad():
        nn.init.normal_(head.conv_seg.weight)
        features = decode(head.train(), feats)[1]
        assert features.amax((0, 2, 3)).gt(0).sum() > 4  # of 8 channels: before dropout
        logits, features = decode(head.eval(), feats)
        assert logits.equal(head(feats))
        assert logits.equal(head.conv_seg(features))
    assert 'cls_seg' not in vars(head)


def test_names_as_a_map_beside_a_head_of_mmseg(tiny, scene):
    """All parts learn, and a region has the name that the map has in it."""
    names = dict(type='deepunetto_mm.FineMapHead', in_channels=[8], in_index=[1], channels=8)
    names['norm_cfg'] = dict(type='GN', num_groups=2)
    model = tiny(
        dense_heads=dict(names=names),
        decode_head=dict(type='mmseg.FCNHead', in_channels=8, channels=8, num_classes=4),
        region_names='names.logits',
        crop_neck=None,
        fine_backbone=None,
        fine_head=None,
    )
    inputs, sample = scene(BOXES[:2], [0, 2])
    losses = model.loss(inputs[None], [sample])
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg', 'names.loss_ce'}
    sum(loss for key, loss in losses.items() if 'loss' in key).backward()
    assert not [key for key, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    with torch.no_grad():
        model.decode_head.conv_seg.weight.zero_()
        model.decode_head.conv_seg.bias.copy_(torch.tensor([0.0, 9.0, 0.0, 0.0]))  # all is dog
        model.dense_heads['names'].classifier.weight.zero_()
        model.dense_heads['names'].classifier.bias.copy_(torch.tensor([0.0, 3.0, 0.0]))  # a boxer
        (result,) = model.eval().predict(inputs[None], [sample])
    assert result.pred_regions.fine_labels.tolist() == [1]
