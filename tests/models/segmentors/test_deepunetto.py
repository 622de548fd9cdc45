import copy
import functools
from collections import OrderedDict

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import InstanceData, PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import nn

from deepunetto_mm.models import DeepUNetto
from deepunetto_mm.structures import Taxonomy, TaxonomyError, maps

DOG, CAT, SKY = 1, 2, 3
WINDOWS = [
    dict(mode='slide', crop_size=(8, 8), stride=(5, 5)),
    dict(mode='tile', tile_size=(6, 8), margin=2, size_divisor=1, tiles_per_batch=4),
    dict(mode='tile', tile_size=(6, 8), margin=0, size_divisor=1, blending='gaussian'),
]
# Rods that predict the centre: of two levels, margin 8, stride 2.
UNPADDED = dict(
    backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=(4, 8)),
    decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=(4, 8), num_classes=4),
)
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


def _things(boxes):
    return [box for box in boxes if box[4] != SKY]


@pytest.fixture
def batch(scene):
    """Three pictures of one size: two objects, none, one whose name is not annotated."""
    items = [scene(BOXES[:2], [0, 2]), scene([], []), scene(BOXES[:1], [-1])]
    return torch.stack([item[0] for item in items]), [item[1] for item in items]


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


def _training_regions(model, inputs, samples):
    return model.fine_branch.training_regions(model.look(inputs), samples, model.region_proposer)


def _total(losses: dict) -> torch.Tensor:
    return sum(value for key, value in losses.items() if 'loss' in key)


# ---------------------------------------------------------------------------------------------------------------- loss
def test_exact_loss_keys_and_a_gradient_for_every_parameter(tiny, batch):
    model = tiny(
        auxiliary_head=dict(
            type='mmseg.FCNHead',
            in_channels=8,
            in_index=1,
            channels=8,
            num_convs=1,
            concat_input=False,
            num_classes=4,
            norm_cfg=dict(type='GN', num_groups=2),
            loss_decode=dict(type='mmseg.CrossEntropyLoss', loss_weight=0.4),
        )
    )
    losses = model.loss(*batch)
    assert set(losses) == {
        'decode.loss_ce',
        'decode.acc_seg',
        'aux.loss_ce',
        'aux.acc_seg',
        'fine.loss_cls',
        'fine.acc',
    }
    _total(losses).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_without_regions_the_keys_stay_and_every_parameter_is_reached(tiny, scene):
    model = tiny()
    picture, sample = scene([], [])
    losses = model.loss(picture[None], [sample])
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg', 'fine.loss_cls', 'fine.acc'}
    assert losses['fine.loss_cls'].item() == 0.0
    _total(losses).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_a_fine_backbone_that_takes_no_empty_batch(tiny, scene, mmseg_scope):
    swin = dict(type='mmpretrain.SwinTransformer', arch='tiny', img_size=32, pad_small_map=True)
    head = dict(type='deepunetto_mm.FineGrainedHead', in_channels=768)
    crop = dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=32)
    model = tiny(fine_backbone=swin, fine_head=head, crop_neck=crop)
    picture, sample = scene([], [])
    losses = model.loss(picture[None], [sample])
    assert losses['fine.loss_cls'].item() == 0.0
    _total(losses).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_a_decode_head_that_gives_no_logits_is_told(tiny, batch, monkeypatch):
    model = tiny()
    monkeypatch.setattr(model.decode_head, 'forward', lambda feats: tuple(feats))
    with pytest.raises(TypeError, match='UNetDecoder gives a tuple in training; .* class logits'):
        model.loss(*batch)


@pytest.mark.parametrize(('guidance', 'reached'), [('soft', True), ('detach', False), ('hard', False), ('none', False)])
def test_the_fine_loss_reaches_the_segmentation_only_through_a_soft_mask(tiny, batch, guidance, reached):
    model = tiny(crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, guidance=guidance))
    # A near-constant classifier would hide the gradient.
    nn.init.normal_(model.fine_head.fc.weight)
    model.loss(*batch)['fine.loss_cls'].backward()
    gradients = [parameter.grad for parameter in model.backbone.parameters()]
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients) == reached


def test_with_hard_masks_it_trains_as_two_networks_apart(tiny, batch):
    """Three steps of both losses together leave the weights that a network for each loss ends at."""
    ends = []
    for prefixes in [('decode.', 'fine.'), ('decode.',), ('fine.',)]:
        torch.manual_seed(0)
        model = tiny(crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, guidance='hard'))
        begin = copy.deepcopy(model.state_dict())
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            losses = model.loss(*batch)
            _total({key: value for key, value in losses.items() if key.startswith(prefixes)}).backward()
            optimizer.step()
        ends.append(model.state_dict())
    together, segmenting, naming = ends
    for name, value in together.items():
        if name.endswith(('running_mean', 'running_var', 'num_batches_tracked')):
            continue
        apart = naming if name.startswith('fine_') else segmenting
        assert torch.equal(value, apart[name]), name
        if value.is_floating_point():
            assert not torch.equal(value, begin[name]), name


@pytest.mark.parametrize('source', ['gt', 'pred', 'mixed'])
def test_hundreds_of_regions_train_and_the_limit_holds(tiny, scene, source):
    boxes = [(x, y, x + 2, y + 2, DOG) for x in range(0, 60, 3) for y in range(0, 60, 3)]
    picture, sample = scene(boxes, [i % 2 for i in range(len(boxes))], size=(60, 60))
    model = tiny(train_cfg=dict(regions=source, max_regions=50))
    crops = []
    model.crop_neck.register_forward_hook(lambda *args: crops.append(len(args[-1])))
    _total(model.loss(picture[None], [sample])).backward()
    assert len(boxes) == 400
    assert crops[0] == 50 if source == 'gt' else crops[0] <= 50


def test_predicted_regions_are_named_by_what_they_match(colour_reader, scene):
    model = colour_reader(train_cfg=dict(regions='pred'))
    picture, sample = scene(BOXES[:2], [1, 2])
    picture[:, 1:7, 1:8] = torch.tensor([0.0, 1, 0]).view(3, 1, 1)  # the dog is taken for a cat
    regions, maps = _training_regions(model, picture[None], [sample])
    assert regions[0].labels.tolist() == [1, 1]
    assert regions[0].bboxes.tolist() == [[10, 2, 18, 9], [1, 1, 8, 7]]
    assert regions[0].fine_labels.tolist() == [2, -1]  # the cat first: it is larger
    assert (maps[0] > 0).sum() == 98


def test_a_group_is_as_probable_as_its_classes_together(tiny):
    taxonomy = dict(
        classes=['grass', 'fur', 'sky', 'tail'],
        groups=[
            dict(name='tail', members=['tail'], fine_classes=['long']),
            dict(name='coat', members=['fur', 'sky'], fine_classes=['thick', 'thin']),
        ],
    )
    logits = torch.randn(2, 4, 3, 5, requires_grad=True)
    probs = tiny(taxonomy=taxonomy).maps(dict(logits=logits)).group_probs
    expected = torch.stack([logits.softmax(1)[:, 3], logits.softmax(1)[:, [1, 2]].sum(1)], dim=1)
    torch.testing.assert_close(probs, expected)
    weight = torch.randn(2, 2, 3, 5)
    ours, theirs = (torch.autograd.grad((x * weight).sum(), logits)[0] for x in (probs, expected))
    torch.testing.assert_close(ours, theirs)


def test_mixed_regions_come_from_both(colour_reader, scene):
    model = colour_reader(train_cfg=dict(regions='mixed'))
    picture, sample = scene(BOXES[:2], [1, 2])
    inputs = torch.zeros(64, *picture.shape)  # nothing is predicted on black pictures
    regions, _ = _training_regions(model, inputs, [sample] * 64)
    counts = [len(region) for region in regions]
    assert set(counts) == {0, 2}
    assert 16 < counts.count(2) < 48


@pytest.mark.parametrize(
    ('coins', 'proposed'), [((0.1, 0.9, 0.2), [[[1, 8, 7, 15]], [[11, 8, 17, 15]]]), ((0.9, 0.9, 0.5), None)]
)
def test_regions_are_proposed_for_the_pictures_alone_that_use_them(colour_reader, scene, monkeypatch, coins, proposed):
    model = colour_reader(train_cfg=dict(regions='mixed'))
    pictures, samples = zip(*[scene([(x, 8, x + 6, 15, DOG)], [1]) for x in (1, 6, 11)])
    inputs, found = torch.stack(pictures), []
    view = model.look(inputs)
    model.region_proposer.register_forward_hook(lambda *args: found.extend(own.bboxes.tolist() for own in args[-1][0]))
    tosses = iter(coins)
    monkeypatch.setattr(torch, 'rand', lambda size: torch.tensor(next(tosses)))
    regions, _ = model.fine_branch.training_regions(view, samples, model.region_proposer)
    assert found == (proposed or [])
    assert [len(region) for region in regions] == [1, 1, 1]


def test_box_jitter_moves_boxes_and_leaves_the_data_alone(tiny, scene):
    model = tiny(train_cfg=dict(box_jitter=0.1))
    _, sample = scene(BOXES[:2], [1, 2])
    regions, _ = _training_regions(model, torch.zeros(1, 3, 16, 20), [sample])
    shift = (regions[0].bboxes - sample.gt_regions.bboxes).abs()
    assert 0 < shift.max() <= 0.8
    assert sample.gt_regions.bboxes.tolist() == [list(map(float, box[:4])) for box in BOXES[:2]]


def test_smaller_region_maps_are_padded_like_their_pictures(tiny, scene):
    """mmseg pads pictures and masks to the batch's size, not region maps."""
    model = tiny()
    picture, sample = scene(BOXES[:2], [1, 2])
    large, other = scene(BOXES[:2], [1, 2], size=(24, 28))
    data = model.data_preprocessor(dict(inputs=[picture, large], data_samples=[sample, other]), training=True)
    assert data['inputs'].shape == (2, 3, 24, 28)
    assert torch.isfinite(_total(model.loss(**data)))


# ------------------------------------------------------------------------------------------------------------- predict
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


def test_binary_segmentation_with_one_output(tiny, scene):
    taxonomy = dict(
        classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer'])]
    )
    model = tiny(
        taxonomy=taxonomy,
        decode_head=dict(
            type='deepunetto_mm.UNetDecoder',
            in_channels=[8, 8],
            strides=(1, 2),
            channels=(8,),
            num_classes=2,
            out_channels=1,
            threshold=0.5,
            norm_cfg=dict(type='GN', num_groups=2),
            loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True),
        ),
    )
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


def test_each_backbone_numbers_its_own_layers(tiny):
    rods = dict(type='mmpretrain.ResNet', depth=50)
    cones = dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=16, patch_size=8)
    model = tiny(backbone=rods, fine_backbone=cones)
    depths = {
        'backbone.conv1.weight': (0, 8),
        'backbone.layer4.1.bn2.bias': (6, 8),
        'decode_head.conv_seg.bias': (0, 1),
        'fine_branch.fine_backbone.pos_embed': (0, 14),
        'fine_branch.fine_backbone.layers.3.ln1.bias': (4, 14),
        'fine_branch.fine_head.fc.weight': (0, 1),
    }
    assert {name: model.get_layer_depth(name) for name in depths} == depths
    with pytest.raises(NotImplementedError, match='need a backbone .* TinyBackbone does not have it'):
        tiny().get_layer_depth('backbone.first.0.weight')


# -------------------------------------------------------------------------------------------------- plain segmentation
def test_without_fine_parts_it_is_mmsegs_encoder_decoder(tiny, batch):
    plain = tiny(region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None, taxonomy=None).eval()
    theirs = EncoderDecoder(
        backbone=dict(type='deepunetto_mm.TinyBackbone'),
        decode_head=dict(
            type='deepunetto_mm.UNetDecoder',
            in_channels=[8, 8],
            strides=(1, 2),
            channels=(8,),
            num_classes=4,
            dropout_ratio=0.0,
            norm_cfg=dict(type='GN', num_groups=2),
            loss_decode=dict(type='mmseg.CrossEntropyLoss'),
        ),
        test_cfg=plain.test_cfg,
    ).eval()
    theirs.load_state_dict(plain.state_dict())
    inputs, samples = batch
    assert {key: float(value) for key, value in plain.loss(inputs, samples).items()} == {
        key: float(value) for key, value in theirs.loss(inputs, samples).items()
    }
    for ours, other in zip(
        plain.predict(inputs, copy.deepcopy(samples)), theirs.predict(inputs, copy.deepcopy(samples))
    ):
        assert torch.equal(ours.seg_logits.data, other.seg_logits.data)
        assert 'pred_regions' not in ours


# ------------------------------------------------------------------------------------------------------------ taxonomy
def test_checkpoint_carries_the_taxonomy(tiny):
    model = tiny()
    load_state_dict(tiny(), model.state_dict(), strict=True)
    changed = copy.deepcopy(model.taxonomy.to_dict())
    changed['groups'][0]['fine_classes'] = ['poodle', 'collie']
    with pytest.raises(TaxonomyError, match=r"fine classes of 'dog'.*without \['boxer'\].*with \['collie'\]"):
        load_state_dict(tiny(taxonomy=changed), model.state_dict())


def test_a_wrapped_models_checkpoint_is_checked_too(tiny):
    model = tiny()
    wrapped = OrderedDict((f'module.{key}', value) for key, value in model.state_dict().items())
    changed = copy.deepcopy(model.taxonomy.to_dict())
    changed['ignore_index'] = 254
    with pytest.raises(TaxonomyError, match='ignore_index: 255 became 254'):
        load_state_dict(nn.ModuleDict(dict(module=tiny(taxonomy=changed))), wrapped)


def test_taxonomy_object_and_dict_are_alike(tiny):
    model = tiny()
    assert tiny(taxonomy=Taxonomy.from_dict(model.taxonomy.to_dict())).taxonomy == model.taxonomy


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (
            dict(fine_head=None),
            ValueError,
            r"with \['crop_neck', 'fine_backbone'\] needs \['fine_head'\]",
        ),
        (dict(region_proposer=None), ValueError, r"needs \['region_proposer'\] too"),
        (dict(taxonomy=None), ValueError, 'need a taxonomy'),
        (dict(taxonomy=dict(classes=['a', 'b', 'c', 'd'])), TaxonomyError, 'need a group'),
        (dict(crop_neck=None, fine_backbone=None, fine_head=None), TaxonomyError, 'names without a fine branch'),
        (dict(taxonomy=dict(classes=['a', 'b'])), TaxonomyError, 'num_classes is 4.*2 classes'),
        (dict(train_cfg=dict(regions='ground truth')), ValueError, 'regions must be one of'),
        (dict(train_cfg=dict(box_jiter=0.1)), ValueError, 'box_jiter'),
        (dict(train_cfg=dict(box_jitter=0.5)), ValueError, 'box_jitter must be'),
        (dict(test_cfg=dict(oracel=True)), ValueError, 'oracel'),
        (dict(test_cfg=dict(vote=True)), TaxonomyError, r'vote, and names without a fine branch, need a segm'),
    ],
)
def test_parts_that_do_not_fit(tiny, options, error, message):
    with pytest.raises(error, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    ('head', 'preprocessor', 'message'),
    [
        (dict(loss_decode=dict(type='mmseg.CrossEntropyLoss', class_weight=[1.0, 2.0])), {}, 'class_weight .* got 2'),
        (dict(ignore_index=7), {}, r'model\.decode_head\.ignore_index is 7, that of the taxonomy or data 255'),
        ({}, dict(seg_pad_val=7), r"model\.data_preprocessor\.seg_pad_val is 7, the taxonomy's ignore_index 255"),
    ],
)
def test_heads_and_padding_that_do_not_fit_the_labels(tiny, head, preprocessor, message):
    decode_head = dict(type='mmseg.FCNHead', in_channels=8, in_index=0, channels=4, num_convs=1, num_classes=4)
    with pytest.raises(ValueError, match=message):
        tiny(
            decode_head=dict(decode_head, **head),
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size_divisor=1, **preprocessor),
        )


def test_the_label_of_ignored_pixels_is_the_taxonomys(tiny, scene):
    """By parts that leave it out. The loss of a picture with 200 below is that of the same with 255."""
    usual = tiny().taxonomy.to_dict()
    other = dict(usual, ignore_index=200)
    auxiliary = dict(type='mmseg.FCNHead', in_channels=8, in_index=0, channels=4, num_convs=1, num_classes=4)
    preprocessor = dict(type='mmseg.SegDataPreProcessor', size=(16, 20))
    plain, changed = (
        tiny(taxonomy=taxonomy, auxiliary_head=[auxiliary], data_preprocessor=preprocessor)
        for taxonomy in (usual, other)
    )
    assert [changed.decode_head.ignore_index, changed.auxiliary_head[0].ignore_index] == [200, 200]
    assert changed.data_preprocessor.seg_pad_val == 200
    losses = []
    for model, label in ((plain, 255), (changed, 200)):
        inputs, sample = scene(BOXES[:2], [0, 2])
        sample.gt_sem_seg.data[:, 12:] = label
        torch.manual_seed(0)
        losses.append(model.eval().loss(inputs[None], [sample]))
    assert {key: float(value.detach()) for key, value in losses[0].items()} == {
        key: float(value.detach()) for key, value in losses[1].items()
    }


def test_can_be_copied(tiny):
    """As hooks that average weights do."""
    model = tiny(test_cfg=dict(mode='slide', crop_size=(8, 8), stride=(4, 4)))
    assert copy.deepcopy(model).test_cfg.crop_size == (8, 8)


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


def test_training_without_ground_truth_says_what_is_missing(tiny):
    sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(8, 8), img_shape=(8, 8)))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 8, 8, dtype=torch.long))
    with pytest.raises(ValueError, match=r'a\.png: its annotated regions are needed, .*LoadRegions.* to the pipeline'):
        tiny().loss(torch.zeros(1, 3, 8, 8), [sample])


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


def test_the_head_reads_crops_of_features_without_a_fine_backbone(tiny, batch):
    inputs, samples = batch
    model = tiny(
        crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=4, picture=False, in_index=(0, 1)),
        fine_backbone=None,
        fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=16),
    )
    _total(model.loss(inputs, samples)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    with torch.no_grad():
        scores = model.predict(inputs, samples)[0].pred_regions.fine_scores
    torch.testing.assert_close(scores.sum(1), torch.ones(len(scores)))


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


# ------------------------------------------------------------------------------------------------------------ on a GPU
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('number', [0, 2])
def test_on_cuda_as_on_the_cpu(tiny, colour_reader, scene, monkeypatch, number):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    picture, sample = scene(BOXES[:number], [0, 2][:number])
    with torch.no_grad():
        model = colour_reader()
        (expected,) = model.predict(picture[None], [sample.clone()])
        (found,) = model.cuda().predict(picture[None].cuda(), [sample.clone()])
    assert len(found.pred_regions) == number
    for field in ('pred_sem_seg', 'pred_region_map', 'pred_fine_seg'):
        assert torch.equal(found.get(field).data.cpu(), expected.get(field).data), field
    for key in expected.pred_regions.keys():
        torch.testing.assert_close(found.pred_regions[key].cpu(), expected.pred_regions[key], rtol=1e-3, atol=1e-3)
    for regions in ('gt', 'pred'):
        model = tiny(train_cfg=dict(regions=regions))
        losses = model.loss(picture[None], [sample.clone()])
        moved = model.cuda().loss(picture[None].cuda(), [sample.clone().cuda()])
        _total(moved).backward()
        for key in losses:
            torch.testing.assert_close(moved[key].cpu(), losses[key], rtol=1e-3, atol=1e-3)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
