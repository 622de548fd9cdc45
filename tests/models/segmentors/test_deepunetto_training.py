"""Losses of the whole network, and the regions that it is trained on."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

DOG, CAT, SKY = 1, 2, 3
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


def _training_regions(model, inputs, samples):
    return model.fine_branch.training_regions(model.look(inputs), samples, model.region_proposer)


def _total(losses: dict) -> torch.Tensor:
    return sum(value for key, value in losses.items() if 'loss' in key)


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


def test_training_without_ground_truth_says_what_is_missing(tiny):
    sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(8, 8), img_shape=(8, 8)))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 8, 8, dtype=torch.long))
    with pytest.raises(ValueError, match=r'a\.png: its annotated regions are needed, .*LoadRegions.* to the pipeline'):
        tiny().loss(torch.zeros(1, 3, 8, 8), [sample])


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
