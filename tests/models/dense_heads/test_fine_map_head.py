"""Names as maps: painted, trained, and given to regions."""

import copy
import math
from typing import Mapping, Sequence

import pytest
import torch
from mmengine.structures import PixelData
from torch import Tensor

from deepunetto_mm.models import DeepUNettoTTA, DenseHead, FineMapHead
from deepunetto_mm.models.dense_heads.fine_map_head import name_counts
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures.frames import given_regions

DOG, CAT, SKY = 1, 2, 3
BOXES = [(1, 1, 9, 8, DOG), (10, 2, 17, 9, CAT), (2, 9, 10, 15, DOG)]  # by area, as they are found
TILES = dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, tiles_per_batch=3)
NO_CROPS = dict(crop_neck=None, fine_backbone=None, fine_head=None)
TAXONOMY = dict(
    classes=['grass', 'dog', 'cat'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
        dict(name='cat', members=['cat'], fine_classes=['tabby']),
    ],
)


@MODELS.register_module()
class ToyNames(DenseHead):
    """Odds of a poodle against a boxer: e to the power of four times the blue of the picture."""

    kinds = {'logits': 'logits'}

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        odds = 4 * features[:, 2:]
        return dict(logits=torch.cat([-(-odds).exp().log1p(), -odds.exp().log1p(), torch.zeros_like(odds)], 1))

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence) -> dict[str, Tensor]:
        return dict(loss_names=maps['logits'].sum())


def _head(**options) -> FineMapHead:
    return FineMapHead(**{**dict(in_channels=[4, 6], in_index=(1, 2), taxonomy=TAXONOMY, channels=8), **options})


def _reader(tiny, **options):
    """Segmentation and names are what the colours say."""
    parts = dict(
        backbone=dict(type='deepunetto_mm.Oracle'),
        decode_head=dict(type='deepunetto_mm.ColourSegmentation'),
        dense_heads=dict(names=dict(type='deepunetto_mm.ToyNames')),
        region_names='names.logits',
    )
    return tiny(**{**parts, **NO_CROPS, **options}).eval()


def _bluish(scene, boxes=BOXES):
    """A scene whose left half is a little blue; the second dog begins there and ends elsewhere."""
    picture, sample = scene(boxes, [0, 2, 1][: len(boxes)])
    picture[2, :, :5] += 0.4
    return picture, sample


def _counts(sample, shape) -> Tensor:
    (regions,), (region_map,) = given_regions([sample], sample.gt_sem_seg.shape)
    return name_counts(regions, region_map, shape)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_each_group_is_normalised_at_the_stride_of_the_finest_map():
    torch.manual_seed(0)
    feats = [torch.rand(2, 3, 16, 20), torch.rand(2, 4, 8, 10), torch.rand(2, 6, 4, 5)]
    painted = _head()(torch.rand(2, 8, 16, 20), feats)['logits']
    assert painted.shape == (2, 3, 8, 10)
    torch.testing.assert_close(painted[:, :2].exp().sum(1), torch.ones(2, 8, 10))
    assert painted[:, 2].abs().max() == 0  # a tabby is the only cat
    assert painted[:, 0].std() > 0


def test_the_loss_is_the_mean_over_annotated_pixels_within_their_group(scene):
    # Half of the first dog is in the left cell; the second has no name; the cat is certain to be a tabby.
    _, sample = scene([(1, 0, 3, 2, DOG), (0, 2, 4, 4, DOG), (3, 0, 4, 1, CAT)], [1, -1, 2], size=(4, 4))
    assert _counts(sample, (3, 1, 2)).tolist() == [[[0, 0]], [[2, 2]], [[0, 1]]]
    log_probs = torch.tensor([[0.5, 0.25], [0.5, 0.75], [1.0, 1.0]]).log()[None, :, None]
    expected = -(2 * math.log(0.5) + 2 * math.log(0.75) + 0) / 5
    loss = _head(loss_weight=3.0).loss(dict(logits=log_probs), [sample])
    assert loss['loss_ce'].item() == pytest.approx(3 * expected)


def test_names_count_by_their_weights(scene):
    """The plain mean over the pixels: twice the weight of one name adds its loss once more."""
    _, sample = scene([(0, 0, 2, 2, DOG), (2, 0, 4, 2, DOG)], [0, 1], size=(2, 4))
    maps = dict(logits=torch.randn(1, 3, 2, 4).log_softmax(1))
    plain, weighted = (_head(class_weight=weight).loss(maps, [sample])['loss_ce'] for weight in (None, [2, 1, 5]))
    torch.testing.assert_close(weighted, plain - maps['logits'][0, 0, :, :2].sum() / 8)
    with pytest.raises(ValueError, match='class_weight has 2 numbers, and 3 names are to be weighted'):
        _head(class_weight=[1, 1])


def test_padding_has_no_name(scene):
    _, sample = scene([(0, 0, 2, 2, DOG)], [0], size=(2, 4))
    sample.gt_region_map.data[0, 1, 3] = 255  # what the pipeline padded
    # mmseg pads the mask to the size of the batch, and not the region map.
    padded = copy.deepcopy(sample)
    del padded.gt_sem_seg
    padded.gt_sem_seg = PixelData(data=torch.full((1, 4, 8), 255))
    assert _counts(padded, (3, 2, 4))[0].tolist() == [[4, 0, 0, 0], [0, 0, 0, 0]]
    assert _counts(padded, (3, 2, 4))[1:].sum() == 0


@pytest.mark.parametrize('regions', [[0, 2, -1], [-1], []])
def test_the_loss_reaches_every_parameter(tiny, scene, regions):
    head = dict(type='deepunetto_mm.FineMapHead', in_channels=[8, 8], in_index=(0, 1), channels=8)
    model = tiny(dense_heads=dict(names=head), region_names='names.logits', **NO_CROPS)
    picture, sample = scene(BOXES[: len(regions)], regions)
    losses = model.loss(picture[None], [sample])
    assert list(losses) == ['decode.loss_ce', 'decode.acc_seg', 'names.loss_ce']
    assert (losses['names.loss_ce'] > 0) == any(name >= 0 for name in regions)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_regions_are_named_by_the_mean_of_their_pixels(tiny, scene, mode):
    model = _reader(tiny, test_cfg=dict(mode, oracle=True))
    picture, sample = _bluish(scene)
    with torch.no_grad():
        result = model.predict(picture[None], [sample])[0]
    # Blue are 4 of 8 columns of the first dog, and 3 of the second.
    first, second = (_sigmoid(4 * 0.4 * share) for share in (4 / 8, 3 / 8))
    expected = torch.tensor([[first, 1 - first, 0], [0, 0, 1], [second, 1 - second, 0]])
    torch.testing.assert_close(result.pred_regions.fine_scores, expected)
    torch.testing.assert_close(result.gt_regions.oracle_scores, expected)
    assert result.pred_regions.fine_labels.tolist() == [0, 2, 0]
    # Composed: grass, sky, poodle, boxer, tabby.
    assert result.pred_fine_seg.data[0, 1:8, 1:9].unique().tolist() == [2]
    assert result.pred_fine_seg.data[0, 2:9, 10:17].unique().tolist() == [4]


@pytest.mark.parametrize('mode', [dict(), dict(TILES, keep_logits=False)], ids=str)
def test_regions_end_where_the_name_does(tiny, scene, mode):
    proposer = dict(type='deepunetto_mm.ConnectedComponentsProposer', by_name='names.logits')
    picture, sample = scene(BOXES[:1], [0])
    picture[2] += torch.where(torch.arange(picture.shape[2]) < 5, 0.2, -0.2)
    with torch.no_grad():
        result = _reader(tiny, region_proposer=proposer, test_cfg=mode).predict(picture[None], [sample])[0]
    assert result.pred_regions.bboxes.tolist() == [[1, 1, 5, 8], [5, 1, 9, 8]]
    assert result.pred_regions.fine_labels.tolist() == [0, 1]
    assert result.pred_fine_seg.data[0, 1, 1:9].tolist() == [2] * 4 + [3] * 4


@pytest.mark.parametrize('mode', [dict(), dict(TILES, keep_logits=False)], ids=str)
def test_no_region_has_no_names(tiny, scene, mode):
    picture, sample = _bluish(scene, [])
    with torch.no_grad():
        result = _reader(tiny, test_cfg=mode).predict(picture[None], [sample])[0]
    assert result.pred_regions.fine_scores.shape == (0, 3)


def test_views_are_averaged_within_the_group(tiny, scene):
    picture, sample = scene(BOXES, [0, 2, 1])
    bluer = picture + torch.tensor([0, 0, 0.4])[:, None, None]
    with torch.no_grad():
        result = DeepUNettoTTA(module=_reader(tiny)).test_step(
            dict(inputs=[[picture], [bluer]], data_samples=[[sample], [copy.deepcopy(sample)]])
        )[0]
    poodle = (0.5 + _sigmoid(1.6)) / 2
    torch.testing.assert_close(result.pred_regions.fine_scores[0], torch.tensor([poodle, 1 - poodle, 0]))


def test_what_does_not_fit(tiny, scene):
    with pytest.raises(ValueError, match='FineMapHead needs the taxonomy'):
        _head(taxonomy=None)
    with pytest.raises(ValueError, match=r'in_channels \(4, 6\) but in_index \(1,\)'):
        _head(in_index=(1,))
    sample = scene([], [])[1]
    del sample.gt_regions
    with pytest.raises(ValueError, match='scene.png: its annotated regions are needed'):
        _head().loss(dict(logits=torch.zeros(1, 3, 2, 2)), [sample])
    with pytest.raises(ValueError, match="region_names='names.heat'.*maps.*'names.logits'"):
        _reader(tiny, region_names='names.heat')
    for wrong in ('name.logits', 'logits'):
        proposer = dict(type='deepunetto_mm.ConnectedComponentsProposer', by_name=wrong)
        with pytest.raises(ValueError, match=f"by_name='{wrong}'.*maps.*'names.logits'"):
            _reader(tiny, region_proposer=proposer)
    model = _reader(tiny, dense_heads=dict(names=dict(type='deepunetto_mm.ToyNames')))
    model.dense_heads['names'].forward = lambda features, feats: dict(logits=features[:, :2])
    picture, sample = _bluish(scene)
    with pytest.raises(ValueError, match="region_names='names.logits' has 2 channels.* 3 fine classes"):
        model.predict(picture[None], [sample])
