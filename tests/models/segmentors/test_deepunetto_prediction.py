"""Predictions of the whole network: regions, names and the composed map, in the frame of the original."""

import copy
import functools

import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.models import DeepUNetto
from deepunetto_mm.structures import maps

DOG, CAT, SKY = 1, 2, 3
WINDOWS = [
    dict(mode='slide', crop_size=(8, 8), stride=(5, 5)),
    dict(mode='tile', tile_size=(6, 8), margin=2, size_divisor=1, tiles_per_batch=4),
    dict(mode='tile', tile_size=(6, 8), margin=0, size_divisor=1, blending='gaussian'),
]
TILED_LABELS = dict(mode='tile', tile_size=(16, 20), margin=0, size_divisor=1)
# Rods that predict the centre: of two levels, margin 8, stride 2.
UNPADDED = dict(
    backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=(4, 8)),
    decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=(4, 8), num_classes=4),
)
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


def _annotated_pets():
    """A region of a dog and a cat that touch."""
    region = torch.zeros(4, 6, dtype=torch.long)
    region[1:3, 1:5] = 1
    labels = region.clone()
    labels[1:3, 4] = 2
    sample = SegDataSample(metainfo=dict(img_shape=(4, 6), ori_shape=(4, 6)))
    sample.set_data(
        dict(
            gt_region_map=PixelData(data=region[None]),
            gt_regions=InstanceData(
                ids=torch.tensor([1]),
                labels=torch.tensor([0]),
                fine_labels=torch.tensor([1]),
                bboxes=torch.tensor([[1.0, 1, 5, 3]]),
            ),
        )
    )
    return 2.0 * torch.stack([labels == DOG, labels == CAT, labels == SKY]), sample


def _total(losses: dict) -> torch.Tensor:
    return sum(value for key, value in losses.items() if 'loss' in key)


def test_predicts_regions_names_and_the_composed_map(colour_reader, scene):
    model = colour_reader()
    picture, sample = scene(BOXES, [0, 2, -1][:2] + [-1])
    result = model.predict(picture[None], [sample])[0]
    regions = result.pred_regions
    assert regions.bboxes.tolist() == [[10, 2, 18, 9], [1, 1, 8, 7]]  # larger first
    assert regions.areas.tolist() == [56, 42]
    assert regions.labels.tolist() == [1, 0]
    assert regions.fine_labels[0] == 2  # the cat can only be a tabby
    assert regions.fine_labels[1] in (0, 1)
    torch.testing.assert_close(regions.fine_scores[0], torch.tensor([0.0, 0.0, 1.0]))
    assert regions.fine_scores[1, :2].sum().item() == pytest.approx(1.0)
    expected_score = torch.tensor([5.0, 0.0, 10.0, 0.0]).softmax(0)[2]
    torch.testing.assert_close(regions.scores[0], expected_score)
    composed = result.pred_fine_seg.data[0]
    # Composed labels: grass 0, sky 1, poodle 2, boxer 3, tabby 4.
    assert composed[0, 0] == 0
    assert composed[15, 0] == 1
    assert (composed[2:9, 10:18] == 4).all()
    assert (composed[1:7, 1:8] == 2 + regions.fine_labels[1]).all()
    assert torch.equal(result.pred_region_map.data[0] > 0, (composed >= 2))


def test_group_pixels_outside_regions_get_the_best_stuff_class(colour_reader, scene):
    model = colour_reader()
    picture, sample = scene([(0, 0, 1, 1, DOG), (0, 8, 20, 16, SKY)], [0, -1])
    picture[2, 0, 0] = 0.7  # the lone dog pixel is more sky (0.7) than grass (0.5)
    result = model.predict(picture[None], [sample])[0]
    assert result.pred_sem_seg.data[0, 0, 0] == DOG
    assert len(result.pred_regions) == 0
    assert result.pred_fine_seg.data[0, 0, 0] == 1


def test_group_pixels_outside_regions_get_the_name_that_their_class_implies(colour_reader, scene):
    model = colour_reader()
    picture, sample = scene([(0, 0, 1, 1, CAT)], [0])
    result = model.predict(picture[None], [sample])[0]
    assert len(result.pred_regions) == 0
    assert result.pred_fine_seg.data[0, 0, 0] == 4  # a cat can only be a tabby


@pytest.mark.parametrize(
    'mode',
    [
        dict(mode='whole'),
        dict(mode='slide', crop_size=(10, 12), stride=(6, 8)),
        dict(mode='tile', tile_size=(6, 8), margin=2, size_divisor=2, tiles_per_batch=5),
    ],
)
def test_batch_equals_one_by_one(tiny, batch, mode):
    model = tiny(test_cfg=mode).eval()
    inputs, samples = batch
    together = model.predict(inputs, copy.deepcopy(samples))
    for i, sample in enumerate(samples):
        alone = model.predict(inputs[i : i + 1], [copy.deepcopy(sample)])[0]
        torch.testing.assert_close(alone.seg_logits.data, together[i].seg_logits.data, atol=1e-4, rtol=1e-4)
        assert torch.equal(alone.pred_fine_seg.data, together[i].pred_fine_seg.data)
        torch.testing.assert_close(
            alone.pred_regions.fine_scores, together[i].pred_regions.fine_scores, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize('mode', WINDOWS)
def test_windows_and_tiles_equal_whole_for_a_pointwise_network(colour_reader, scene, mode):
    picture, sample = scene(BOXES, [0, 2, -1])
    whole = colour_reader().predict(picture[None], [copy.deepcopy(sample)])[0]
    parts = colour_reader(test_cfg=mode).predict(picture[None], [sample])[0]
    torch.testing.assert_close(parts.seg_logits.data, whole.seg_logits.data)
    assert torch.equal(parts.pred_fine_seg.data, whole.pred_fine_seg.data)
    assert torch.equal(parts.pred_regions.bboxes, whole.pred_regions.bboxes)
    torch.testing.assert_close(parts.pred_regions.fine_scores, whole.pred_regions.fine_scores)


@pytest.mark.parametrize('mode', WINDOWS)
def test_without_data_samples(colour_reader, scene, mode):
    picture, sample = scene(BOXES, [0, 2, -1])
    bare = colour_reader().predict(picture[None])[0]
    full = colour_reader().predict(picture[None], [sample])[0]
    assert torch.equal(bare.pred_fine_seg.data, full.pred_fine_seg.data)
    parts = colour_reader(test_cfg=mode).predict(picture[None])[0]
    assert torch.equal(parts.pred_fine_seg.data, full.pred_fine_seg.data)


def test_unpadded_rods_predict_regions_and_names_whole_and_tiled(tiny, scene):
    """A picture of odd sizes, which they would not take as it is, in tiles of 4 x 6."""
    tile = dict(mode='tile', tile_size=(4, 6), tiles_per_batch=3)
    whole, tiled = (tiny(**UNPADDED, test_cfg=mode).eval() for mode in (dict(), tile))
    picture = torch.randn(1, 3, 15, 19)
    seen = []
    tiled.backbone.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape[1:])))
    first, second = whole.predict(picture)[0], tiled.predict(picture)[0]
    assert set(seen) == {(3, 20, 22)}
    assert len(first.pred_regions) > 0
    torch.testing.assert_close(second.seg_logits.data, first.seg_logits.data)
    assert torch.equal(second.pred_fine_seg.data, first.pred_fine_seg.data)
    torch.testing.assert_close(second.pred_regions.fine_scores, first.pred_regions.fine_scores)


def test_unpadded_rods_train_alone_and_refuse_a_fine_branch(tiny, scene):
    picture, sample = scene(BOXES[:2], [0, 2], size=(24, 28))
    alone = tiny(**UNPADDED, region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None)
    assert set(alone.loss(picture[None], [sample])) == {'decode.loss_ce', 'decode.acc_seg'}
    with pytest.raises(ValueError, match='train the segmentation without the fine parts'):
        tiny(**UNPADDED).loss(picture[None], [sample])
    with pytest.raises(ValueError, match='train the segmentation without the fine parts'):
        tiny(**UNPADDED).forward(picture[None], mode='tensor')


def test_results_are_in_the_frame_of_the_original(colour_reader, scene):
    """An input of twice the size, padded on all sides: boxes and maps are the original's, names those of the crop."""
    model = colour_reader()
    picture, sample = scene(BOXES, [0, 2, -1])
    plain = model.predict(picture[None], [copy.deepcopy(sample)])[0]
    doubled = picture.repeat_interleave(2, 1).repeat_interleave(2, 2)
    padded = torch.nn.functional.pad(doubled, (4, 6, 2, 8))
    sample.set_metainfo(dict(img_shape=(32, 40), padding_size=[4, 6, 2, 8]))
    seen = []
    model.crop_neck.register_forward_hook(lambda module, args, out: seen.append(args))
    result = model.predict(padded[None], [sample])[0]
    assert result.pred_sem_seg.shape == (16, 20)
    assert torch.equal(result.pred_region_map.data, plain.pred_region_map.data)
    assert torch.equal(result.pred_regions.bboxes, plain.pred_regions.bboxes)
    regions, maps, *_ = seen[0]
    assert regions[0].bboxes.tolist() == [[24, 6, 40, 20], [6, 4, 20, 16]]
    cat = (maps[0] == 1).nonzero()
    assert (cat.amin(0).tolist(), cat.amax(0).tolist()) == ([6, 24], [19, 39])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_flipped_inputs_are_turned_back(colour_reader, scene, direction):
    model = colour_reader()
    picture, sample = scene(BOXES, [0, 2, -1])
    plain = model.predict(picture[None], [copy.deepcopy(sample)])[0]
    sample.set_metainfo(dict(flip=True, flip_direction=direction))
    seen = []
    model.crop_neck.register_forward_hook(lambda module, args, out: seen.append(args))
    flipped = model.predict(picture[None].flip(3 if direction == 'horizontal' else 2), [sample])[0]
    assert torch.equal(flipped.pred_regions.bboxes, plain.pred_regions.bboxes)
    assert torch.equal(flipped.pred_region_map.data, plain.pred_region_map.data)
    regions, maps, *_ = seen[0]
    for region, number in zip(regions[0].bboxes, (1, 2)):
        y, x = (maps[0] == number).nonzero().unbind(1)
        assert region.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_flat_names_bring_their_group(colour_reader, scene):
    model = colour_reader(fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=8, condition='flat'))
    with torch.no_grad():
        model.fine_head.fc.weight.zero_()
        model.fine_head.fc.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    picture, sample = scene(BOXES, [0, 2, -1])
    regions = model.predict(picture[None], [sample])[0].pred_regions
    assert regions.fine_labels.tolist() == [1, 1]
    assert regions.labels.tolist() == [0, 0]  # both are boxers, hence dogs
    torch.testing.assert_close(regions.scores, regions.group_probs[:, 0])
    assert regions.scores.min() < 0.1  # the segmentation does not believe it of the cat


def test_oracle_scores_the_ground_truth_regions(colour_reader, scene):
    model = colour_reader(test_cfg=dict(oracle=True))
    picture, sample = scene(BOXES[:2], [0, 2])
    result = model.predict(torch.zeros_like(picture)[None], [sample])[0]  # nothing is found on black
    assert len(result.pred_regions) == 0
    scores = result.gt_regions.oracle_scores
    assert scores.shape == (2, 3)
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    assert scores[1].tolist() == [0, 0, 1]


def test_crops_are_named_in_several_passes_alike(colour_reader, scene):
    boxes = [(x, y, x + 3, y + 3, DOG) for x in range(0, 40, 4) for y in range(0, 40, 4)]
    picture, sample = scene(boxes, [0] * 100, size=(40, 40))
    picture += 0.1 * torch.rand(picture.shape)
    one = colour_reader().predict(picture[None], [copy.deepcopy(sample)])[0].pred_regions
    several = colour_reader(test_cfg=dict(crops_per_pass=7)).predict(picture[None], [sample])[0].pred_regions
    assert len(one) == 100
    torch.testing.assert_close(several.fine_scores, one.fine_scores)


def test_tensor_mode(tiny, batch):
    logits, fine = tiny().forward(batch[0], mode='tensor')
    assert logits.shape == (3, 4, 16, 20)
    assert fine.shape[1] == 3


def test_binary_segmentation_with_one_output(tiny, binary, scene):
    model = tiny(**binary)
    picture, sample = scene(BOXES[:1], [1])
    _total(model.loss(picture[None], [sample])).backward()
    with torch.no_grad():
        model.decode_head.conv_seg.weight.zero_()
        model.decode_head.conv_seg.bias.fill_(3.0)
    result = model.eval().predict(picture[None], [sample])[0]
    assert result.pred_regions.areas.tolist() == [320]
    torch.testing.assert_close(result.pred_regions.scores, torch.tensor([3.0]).sigmoid())
    # The logits themselves, also where half precision has no probability between theirs and 1.
    torch.testing.assert_close(result.seg_logits.data, torch.full((1, 16, 20), 3.0))


def test_feature_crops_need_whole_pictures(tiny):
    crop = dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, picture=False, in_index=(0,))
    for options in (*[dict(test_cfg=mode) for mode in WINDOWS], UNPADDED):
        with pytest.raises(ValueError, match='sliding windows, tiles and unpadded networks leave no feature map'):
            tiny(crop_neck=crop, **options)
    model = tiny(crop_neck=crop, fine_backbone=dict(type='deepunetto_mm.TinyBackbone', in_channels=8)).eval()
    assert isinstance(model, DeepUNetto)
    assert model.predict(torch.rand(1, 3, 16, 20))[0].pred_fine_seg.shape == (16, 20)


def test_oracle_without_ground_truth_says_what_is_missing(colour_reader):
    model = colour_reader(test_cfg=dict(oracle=True))
    sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(8, 8), img_shape=(8, 8)))
    with pytest.raises(ValueError, match=r'a\.png.*LoadRegions'):
        model.predict(torch.zeros(1, 3, 8, 8), [sample])


@pytest.mark.parametrize(
    ('guidance', 'pictures', 'batches'),
    [('hard', 1, []), ('none', 2, []), ('detach', 1, [1]), ('detach', 2, [2])],
)
def test_probabilities_of_whole_pictures_are_computed_once(
    colour_reader, scene, monkeypatch, guidance, pictures, batches
):
    """And only if crops depend on them: at the size of the inputs. Regions need those of their own pixels."""
    model = colour_reader(crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, guidance=guidance))
    inputs, samples = zip(*[scene(BOXES[:2], [1, 2]) for _ in range(pictures)])
    softmaxes, sums = [], []
    softmax, add = maps.class_probabilities, maps.Maps.group_probs.func

    def counted_softmax(logits):
        if logits.ndim == 4:
            softmaxes.append(len(logits))
        return softmax(logits)

    monkeypatch.setattr(maps, 'class_probabilities', counted_softmax)
    counted = functools.cached_property(lambda own: sums.append(len(own.logits)) or add(own))
    counted.__set_name__(maps.Maps, 'group_probs')
    monkeypatch.setattr(maps.Maps, 'group_probs', counted)
    results = model.predict(torch.stack(inputs), list(samples))
    assert [len(result.pred_regions) for result in results] == [2] * pictures
    assert softmaxes == sums == batches


def test_a_region_proposer_alone_names_by_the_segmentation(tiny, colour_reader, batch):
    """The plain alternative: each region gets the class that its pixels say, and the rest is mmseg's network."""
    taxonomy = dict(
        classes=['grass', 'dog', 'cat', 'sky'],
        groups=[dict(name='animal', members=['dog', 'cat'], fine_classes=['cat', 'dog'])],
    )
    plain = dict(taxonomy=taxonomy, crop_neck=None, fine_backbone=None, fine_head=None)
    inputs, samples = batch
    assert set(tiny(**plain).loss(inputs, samples)) == {'decode.loss_ce', 'decode.acc_seg'}

    model = colour_reader(**plain, test_cfg=dict(oracle=True))
    picture, sample = _annotated_pets()
    result = model.predict(picture[None], [sample])[0]
    # One region of 6 dog and 2 cat pixels: sharp probabilities, so that the scores are the shares of the pixels.
    assert result.pred_regions.areas.tolist() == [8]
    torch.testing.assert_close(result.pred_regions.fine_scores, torch.tensor([[0.25, 0.75]]), atol=0.01, rtol=0)
    assert result.pred_regions.fine_labels.tolist() == [1]
    assert result.pred_fine_seg.data[0, 1].tolist() == [0, 3, 3, 3, 3, 0]
    torch.testing.assert_close(result.gt_regions.oracle_scores, result.pred_regions.fine_scores)


@pytest.mark.parametrize('keep_logits', [True, False])
def test_names_bring_parts_of_an_object_together(colour_reader, scene, keep_logits):
    """Whatever the segmentation says, this head says 'the last name': a dog and a cat that touch are one region."""
    picture, sample = scene([(1, 1, 8, 7, DOG), (8, 2, 18, 9, CAT), (1, 11, 5, 15, DOG)], [0, 2, 0])
    found = []
    for join in (False, True):
        model = colour_reader(test_cfg=dict(TILED_LABELS, keep_logits=keep_logits))
        model.fine_head.condition, model.join = 'flat', join
        torch.nn.init.zeros_(model.fine_head.fc.weight)
        model.fine_head.fc.bias.data = torch.arange(model.fine_head.num_classes).float()
        found.append(model.predict(picture[None], [copy.deepcopy(sample)])[0])
    apart, joined = found
    assert apart.pred_regions.areas.tolist() == [70, 42, 16]
    assert joined.pred_regions.areas.tolist() == [112, 16]
    assert joined.pred_regions.bboxes.tolist() == [[1, 1, 18, 9], [1, 11, 5, 15]]
    assert joined.pred_regions.ids.tolist() == joined.pred_region_map.data.unique().tolist()[1:]
    assert torch.equal(joined.pred_fine_seg.data, apart.pred_fine_seg.data)
    (nothing,) = model.predict(torch.zeros_like(picture)[None], [copy.deepcopy(sample)])
    assert len(nothing.pred_regions) == 0


def test_voting_without_any_region(colour_reader, scene):
    model = colour_reader(
        taxonomy=dict(
            classes=['grass', 'dog', 'cat', 'sky'],
            groups=[dict(name='animal', members=['dog', 'cat'], fine_classes=['cat', 'dog'])],
        ),
        test_cfg=dict(vote=True),
    )
    picture, sample = scene([(0, 8, 20, 16, SKY)], [-1])
    composed = model.predict(picture[None], [sample])[0].pred_fine_seg.data[0]
    assert composed[:8].unique().tolist() == [0]
    assert composed[8:].unique().tolist() == [1]
