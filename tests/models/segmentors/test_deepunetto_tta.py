import copy

import torch
from mmseg.models import SegTTAModel

from deepunetto_mm.models import DeepUNettoTTA

DOG, CAT, SKY = 1, 2, 3
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


def _views(picture, sample, *flips):
    inputs, samples = [], []
    for flip in flips:
        view = copy.deepcopy(sample)
        view.set_metainfo(dict(flip=flip is not None, flip_direction=flip))
        samples.append([view])
        inputs.append([picture if flip is None else picture.flip(2 if flip == 'horizontal' else 1)])
    return dict(inputs=inputs, data_samples=samples)


def test_one_view_is_plain_prediction(tiny, scene):
    model = tiny().eval()
    picture, sample = scene(BOXES[:2], [0, 2])
    plain = model.predict(picture[None], [copy.deepcopy(sample)])[0]
    merged = DeepUNettoTTA(module=model).test_step(_views(picture, sample, None))[0]
    assert torch.equal(merged.pred_fine_seg.data, plain.pred_fine_seg.data)
    torch.testing.assert_close(merged.pred_regions.fine_scores, plain.pred_regions.fine_scores)


def test_views_may_be_tiled(colour_reader, scene):
    picture, sample = scene(BOXES, [0, 2, -1])
    tile = dict(mode='tile', tile_size=(6, 8), margin=2, size_divisor=1)
    whole, tiled = (
        DeepUNettoTTA(module=colour_reader(**options)).test_step(_views(picture, sample, None, 'horizontal'))[0]
        for options in (dict(), dict(test_cfg=tile))
    )
    torch.testing.assert_close(tiled.seg_logits.data, whole.seg_logits.data)
    assert torch.equal(tiled.pred_fine_seg.data, whole.pred_fine_seg.data)
    torch.testing.assert_close(tiled.pred_regions.fine_scores, whole.pred_regions.fine_scores)


def test_views_are_averaged_on_the_same_regions(colour_reader, scene):
    model = colour_reader()
    model.crop_neck.guidance = 'soft'  # of hard masks both views have the same crops
    picture, sample = scene(BOXES, [0, 2, -1])
    single = [DeepUNettoTTA(module=model).test_step(_views(picture, sample, flip))[0] for flip in (None, 'horizontal')]
    merged = DeepUNettoTTA(module=model).test_step(_views(picture, sample, None, 'horizontal'))[0]
    assert torch.equal(merged.pred_region_map.data, single[0].pred_region_map.data)
    mean = (single[0].pred_regions.fine_scores + single[1].pred_regions.fine_scores) / 2
    torch.testing.assert_close(merged.pred_regions.fine_scores, mean)
    assert not torch.equal(single[0].pred_regions.fine_scores, single[1].pred_regions.fine_scores)
    assert 'gt_regions' in merged


def test_mmsegs_own_averages_the_segmentation_alone(tiny, scene):
    """SegTTAModel hands on the last view's data sample, and so that view's regions and names."""
    model = tiny().eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)  # so that views differ
    picture, sample = scene(BOXES, [0, 2, -1])
    flips = (None, 'horizontal', 'vertical')
    single = [DeepUNettoTTA(module=model).test_step(_views(picture, sample, flip))[0] for flip in flips]
    mean = torch.stack([view.seg_logits.data.softmax(0) for view in single]).mean(0)
    ours = DeepUNettoTTA(module=model).test_step(_views(picture, sample, *flips))[0]
    plain = SegTTAModel(module=model).test_step(_views(picture, sample, *flips))[0]
    assert not torch.equal(mean.argmax(0), single[-1].pred_sem_seg.data[0])
    assert torch.equal(plain.pred_sem_seg.data[0], mean.argmax(0))
    assert torch.equal(ours.pred_sem_seg.data, plain.pred_sem_seg.data)
    assert torch.equal(plain.pred_region_map.data, single[-1].pred_region_map.data)
    torch.testing.assert_close(plain.pred_regions.fine_scores, single[-1].pred_regions.fine_scores)
    assert not torch.equal(ours.pred_region_map.data, plain.pred_region_map.data)


def test_names_are_averaged_over_views(colour_reader, scene):
    """Views that call a dog a poodle with 0.9 and with 0.3 do so with 0.6 together, though the second says boxer."""
    model = colour_reader()
    picture, sample = scene(BOXES[:1], [0])
    scores = iter(torch.tensor([[[0.9, 0.1, 0.0]], [[0.3, 0.7, 0.0]]]))
    model.fine_head.predict = lambda feats, labels, group_probs: next(scores)
    merged = DeepUNettoTTA(module=model).test_step(_views(picture, sample, None, 'horizontal'))[0]
    torch.testing.assert_close(merged.pred_regions.fine_scores, torch.tensor([[0.6, 0.4, 0.0]]))
    assert merged.pred_regions.fine_labels.tolist() == [0]


def test_regions_are_joined_by_the_mean_of_views(colour_reader, scene):
    """To each view by itself, a cat and a dog that touch are of two groups; by their mean scores both are dogs."""
    model = colour_reader()
    model.fine_head.condition, model.join = 'flat', True
    picture, sample = scene([(1, 1, 8, 7, DOG), (8, 2, 18, 9, CAT)], [0, 2])
    views = torch.tensor([[[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]], [[0.2, 0.2, 0.6], [0.2, 0.8, 0.0]]])
    for scores, flip in zip(views, (None, 'horizontal')):
        model.fine_head.predict = lambda feats, labels, group_probs, own=scores: own
        single = DeepUNettoTTA(module=model).test_step(_views(picture, sample, flip))[0]
        assert single.pred_regions.areas.tolist() == [70, 42]
    scores = iter(views)
    model.fine_head.predict = lambda feats, labels, group_probs: next(scores)
    merged = DeepUNettoTTA(module=model).test_step(_views(picture, sample, None, 'horizontal'))[0]
    assert merged.pred_regions.areas.tolist() == [112]
    assert merged.pred_regions.bboxes.tolist() == [[1, 1, 18, 9]]
    # Means of 0.5, 0.15 and 0.35 for 70 pixels, and of 0.15, 0.5 and 0.35 for 42; the cat is not of the group.
    mean = torch.tensor([[70 * 0.5 + 42 * 0.15, 70 * 0.15 + 42 * 0.5, 0.0]])
    torch.testing.assert_close(merged.pred_regions.fine_scores, mean / mean.sum())
    composed = merged.pred_fine_seg.data[0]
    assert torch.equal(composed == 2, merged.pred_region_map.data[0] == 1)  # poodles
    assert composed.unique().tolist() == [0, 2]


def test_binary_segmentation_with_one_output(tiny, binary, scene):
    """Views that say 0.9 and 0.3 to a dog say 0.6 together."""
    model = tiny(**binary).eval()
    picture, sample = scene(BOXES[:1], [1])
    logits = torch.tensor([0.9, 0.3]).logit().tolist()
    views = []
    for logit in logits:
        view = model.look(picture[None], [sample])
        view = view._replace(maps=model.maps(dict(logits=torch.full_like(view.maps.logits, logit))))
        views.append((view, [copy.deepcopy(sample)]))
    merged = DeepUNettoTTA(module=model).merge_preds(views)[0]
    torch.testing.assert_close(merged.seg_logits.data.sigmoid(), torch.full((1, 16, 20), 0.6))
    assert merged.pred_sem_seg.data.all()
    assert merged.pred_regions.areas.tolist() == [320]


def test_binary_segmentation_without_regions(tiny, scene):
    """The mean of the views' probabilities, not of their sigmoids."""
    model = tiny(
        taxonomy=None,
        region_proposer=None,
        crop_neck=None,
        fine_backbone=None,
        fine_head=None,
        decode_head=dict(
            type='mmseg.FCNHead',
            in_channels=8,
            channels=8,
            num_convs=0,
            concat_input=False,
            num_classes=2,
            out_channels=1,
            threshold=0.3,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True),
        ),
    ).eval()
    torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
    torch.nn.init.constant_(model.decode_head.conv_seg.bias, torch.tensor(0.2).logit())
    picture, sample = scene(BOXES[:1], [1])
    merged = DeepUNettoTTA(module=model).test_step(_views(picture, sample, None, 'horizontal'))[0]
    assert not merged.pred_sem_seg.data.any()
    torch.testing.assert_close(merged.seg_logits.data.sigmoid(), torch.full((1, 16, 20), 0.2))
    assert 'pred_regions' not in merged


def test_no_region(colour_reader, scene):
    picture, sample = scene([], [])
    merged = DeepUNettoTTA(module=colour_reader()).test_step(_views(picture, sample, None, 'vertical'))[0]
    assert len(merged.pred_regions) == 0
    assert not merged.pred_fine_seg.data.any()
