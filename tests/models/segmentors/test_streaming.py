"""Prediction without logits of the picture, and of regions in chunks: the same, in less memory."""

import copy
import re
import sys
from functools import partial

import pytest
import torch
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from deepunetto_mm.models import DeepUNettoTTA
from deepunetto_mm.models.fine.sampling import chunk_regions
from deepunetto_mm.ops import row_strips

DOG, CAT, SKY = 1, 2, 3
TILES = dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, tiles_per_batch=3)
# Some cut off by the border, some that touch, one of a single pixel.
BOXES = [(0, 0, 9, 7, DOG), (12, 3, 20, 14, CAT), (20, 3, 27, 9, DOG), (30, 20, 47, 39, CAT), (3, 30, 4, 31, DOG)]
BOXES += [(8, 20, 26, 28, SKY), (40, 2, 47, 6, DOG)]
SIZE = (39, 47)


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operation makes; views are as large as what they show."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(out)[0]:
            if isinstance(leaf, torch.Tensor):
                self.bytes = max(self.bytes, leaf.numel() * leaf.element_size())
        return out


def _largest(model, picture, sample) -> int:
    with LargestTensor() as largest, torch.no_grad():
        model.predict(picture[None], [sample])
    return largest.bytes


def _noisy(picture):
    return picture + 0.3 * torch.rand(picture.shape)


def _require_equal(streamed: SegDataSample, kept: SegDataSample) -> None:
    assert 'seg_logits' not in streamed
    for field, dtype in (
        ('pred_sem_seg', torch.int16),
        ('pred_fine_seg', torch.int16),
        ('pred_region_map', torch.int32),
    ):
        assert streamed.get(field).data.dtype == dtype
        assert torch.equal(streamed.get(field).data.long(), kept.get(field).data.long()), field
    assert set(streamed.pred_regions.keys()) == set(kept.pred_regions.keys())
    for key, values in kept.pred_regions.items():
        torch.testing.assert_close(streamed.pred_regions[key], values, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------- without logits
@pytest.mark.parametrize(
    'crop',
    [
        dict(guidance='hard'),
        dict(guidance='soft'),
        dict(guidance='concat'),
        dict(guidance='none', margin=0.7),
        dict(guidance='hard', window=11),
        dict(guidance='detach', keep_aspect=False, fill=0.25, sampling_ratio=3),
    ],
    ids=str,
)
def test_streamed_equals_tiles_with_logits(colour_reader, scene, crop):
    parts = dict(crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6, **crop))
    if crop['guidance'] == 'concat':
        parts['fine_backbone'] = dict(type='deepunetto_mm.TinyBackbone', in_channels=4)
    boxes = [box for box in BOXES if box[4] != SKY]  # whose objects the oracle scores too
    picture, sample = scene(boxes, [0] * len(boxes), SIZE)
    picture = _noisy(picture)
    options = dict(TILES, crops_per_pass=2, oracle=True)
    kept, streamed = (
        colour_reader(test_cfg=dict(options, keep_logits=keep), **copy.deepcopy(parts)).predict(
            picture[None], [copy.deepcopy(sample)]
        )[0]
        for keep in (True, False)
    )
    assert len(kept.pred_regions) >= 4
    _require_equal(streamed, kept)
    torch.testing.assert_close(streamed.gt_regions.oracle_scores, kept.gt_regions.oracle_scores, rtol=1e-5, atol=1e-6)


def test_a_network_that_is_not_right_is_streamed_alike(tiny, scene):
    picture, sample = scene(BOXES, [0] * len(BOXES), SIZE)
    picture, results = torch.rand(picture.shape), []
    for keep in (True, False):
        model = tiny(test_cfg=dict(TILES, keep_logits=keep)).eval()
        # Weights that sum to zero over the features: no class has the upper hand.
        weight = torch.randn(model.decode_head.conv_seg.weight.shape, generator=torch.Generator().manual_seed(0))
        model.decode_head.conv_seg.weight.data = weight - weight.mean(1, keepdim=True)
        results.append(model.predict(picture[None], [copy.deepcopy(sample)])[0])
    kept, streamed = results
    assert len(kept.pred_sem_seg.data.unique()) > 2
    assert len(kept.pred_regions) >= 2
    _require_equal(streamed, kept)


def test_windows_are_normalised_as_the_picture_is(colour_reader, scene):
    preprocessor = dict(
        type='mmseg.SegDataPreProcessor', mean=[30.0, 20, 10], std=[200.0, 210, 220], bgr_to_rgb=True, size_divisor=8
    )  # size_divisor is for training
    picture, sample = scene(BOXES, [0] * len(BOXES), SIZE)
    picture = (_noisy(picture).clamp(max=1) * 255).to(torch.uint8).flip(0)
    results = []
    for keep in (True, False):
        model = colour_reader(data_preprocessor=preprocessor, test_cfg=dict(TILES, keep_logits=keep))
        data = dict(inputs=[picture.clone()], data_samples=[copy.deepcopy(sample)])
        results.append((model.test_step if keep else model.val_step)(data)[0])
    kept, streamed = results
    assert len(kept.pred_regions) >= 4
    _require_equal(streamed, kept)


def test_a_batch_and_no_region(colour_reader, scene):
    items = [scene(boxes, [0] * len(boxes), SIZE) for boxes in (BOXES, [])]
    pictures, samples = torch.stack([item[0] for item in items]), [item[1] for item in items]
    kept = colour_reader(test_cfg=TILES).predict(pictures, copy.deepcopy(samples))
    streamed = colour_reader(test_cfg=dict(TILES, keep_logits=False)).predict(pictures, samples)
    assert [len(sample.pred_regions) > 0 for sample in streamed] == [True, False]
    for ours, other in zip(streamed, kept):
        _require_equal(ours, other)


def test_binary_labels_and_no_meta_information(tiny, binary, scene):
    head = dict(
        type='mmseg.FCNHead',
        in_channels=3,
        channels=3,
        num_convs=0,
        concat_input=False,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True),
    )
    results = []
    for keep in (True, False):
        model = tiny(
            taxonomy=binary['taxonomy'],
            backbone=dict(type='deepunetto_mm.Oracle'),
            decode_head=head,
            test_cfg=dict(TILES, keep_logits=keep),
        ).eval()
        model.decode_head.conv_seg.weight.data = torch.tensor([4.0, -4, 0]).view(1, 3, 1, 1)
        model.decode_head.conv_seg.bias.data.fill_(-1)
        results.append(model.predict(scene(BOXES, [0] * len(BOXES), SIZE)[0][None])[0])
    assert len(results[0].pred_regions) > 1
    _require_equal(results[1], results[0])


def test_without_fine_parts_the_labels_alone(tiny, scene):
    bare = dict(region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None)
    picture, sample = scene(BOXES, [0] * len(BOXES), SIZE)
    kept, streamed = (
        tiny(test_cfg=dict(TILES, keep_logits=keep), **bare).eval().predict(picture[None], [copy.deepcopy(sample)])[0]
        for keep in (True, False)
    )
    assert torch.equal(streamed.pred_sem_seg.data.long(), kept.pred_sem_seg.data)
    assert 'seg_logits' not in streamed
    assert 'pred_regions' not in streamed


# -------------------------------------------------------------------------------------------------------- memory
def _many_classes(count: int) -> dict:
    stuff = [f'ground {i}' for i in range(count)]
    groups = [dict(name=name, members=[name], fine_classes=[name]) for name in ('dog', 'cat')]
    return dict(classes=['grass', 'dog', 'cat', 'sky', *stuff], groups=groups)


def test_no_tensor_grows_with_the_classes(tiny, tiny_decoder, scene, monkeypatch):
    for module in ('models.fine.fine_branch', 'ops.regions'):  # as of a picture of many strips
        monkeypatch.setattr(sys.modules[f'deepunetto_mm.{module}'], 'row_strips', partial(row_strips, pixels=9600))
    size = (200, 240)
    picture, sample = scene([(20, 20, 60, 50, DOG), (120, 100, 150, 190, CAT)], [0, 0], size)
    pixels = size[0] * size[1]
    for keep, most in ((True, 4 * 44 * pixels), (False, 4 * 3 * pixels)):  # logits; the float picture that it is given
        model = tiny(
            taxonomy=_many_classes(40),
            decode_head=tiny_decoder(num_classes=44, norm_cfg=None),
            test_cfg=dict(mode='tile', tile_size=(32, 32), margin=4, size_divisor=2, keep_logits=keep),
        ).eval()
        assert _largest(model, picture, copy.deepcopy(sample)) == most, keep


def test_no_tensor_grows_with_the_regions(colour_reader, scene):
    def largest(count: int, crops_per_pass: int, **test_cfg) -> int:
        boxes = [(3 * x, 3 * y, 3 * x + 2, 3 * y + 2, DOG) for y in range(30) for x in range(30)][:count]
        model = colour_reader(
            crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=16),
            test_cfg=dict(crops_per_pass=crops_per_pass, **test_cfg),
        )
        picture, sample = scene(boxes, [0] * count, (90, 90))
        size = _largest(model, picture, sample)
        assert len(sample.pred_regions) == count
        return size

    assert largest(800, 32) == largest(32, 32)
    assert largest(800, 800) > 10 * largest(800, 32)
    streamed = dict(mode='tile', tile_size=(30, 30), margin=0, size_divisor=1, keep_logits=False)
    assert largest(800, 32, **streamed) == largest(32, 32, **streamed)


@pytest.mark.parametrize('size', [1, 2, 3, 7, 8])
@pytest.mark.parametrize('counts', [(3, 0, 4), (0, 0), (7,), (1, 6)])
def test_chunks_keep_the_order(counts, size):
    regions = [InstanceData(ids=torch.arange(count) + 10 * i) for i, count in enumerate(counts)]
    chunks = list(chunk_regions(regions, size))
    assert len(chunks) == max(-(-sum(counts) // size), 1)
    assert all(len(chunk) == len(counts) and sum(map(len, chunk)) <= size for chunk in chunks)
    for i, region in enumerate(regions):
        assert torch.equal(torch.cat([chunk[i].ids for chunk in chunks]), region.ids)


# -------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(keep_logits=False), "needs test_cfg.mode='tile' without blending"),
        (dict(TILES, keep_logits=False, blending='gaussian'), "blending='gaussian'"),
        (dict(TILES, keep_logits=False, vote=True), 'no class probabilities of the picture, which test_cfg.vote'),
    ],
)
def test_what_needs_the_logits(colour_reader, test_cfg, message):
    taxonomy = _many_classes(0) if 'vote' in test_cfg else {}
    with pytest.raises(ValueError, match=re.escape(message)):
        colour_reader(test_cfg=test_cfg, **({'taxonomy': taxonomy} if taxonomy else {}))


def test_names_by_the_segmentation_need_the_logits(colour_reader):
    with pytest.raises(ValueError, match='names without a fine branch need'):
        colour_reader(
            taxonomy=_many_classes(0),
            crop_neck=None,
            fine_backbone=None,
            fine_head=None,
            test_cfg=dict(TILES, keep_logits=False),
        )


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        (dict(ori_shape=(20, 30)), 'a.png: .* the pipeline made 47x39 of 30x20, flip=False'),
        (dict(ori_shape=SIZE, flip=True, flip_direction='horizontal'), 'flip=True: leave Resize, Pad and RandomFlip'),
    ],
)
def test_pictures_of_another_frame(colour_reader, meta, message):
    sample = SegDataSample(metainfo=dict(img_path='a.png', **meta))
    with pytest.raises(ValueError, match=message):
        colour_reader(test_cfg=dict(TILES, keep_logits=False)).predict(torch.zeros(1, 3, *SIZE), [sample])


def test_a_preprocessor_that_pads(colour_reader):
    preprocessor = dict(type='mmseg.SegDataPreProcessor', test_cfg=dict(size_divisor=64))
    model = colour_reader(data_preprocessor=preprocessor, test_cfg=dict(TILES, keep_logits=False))
    data = dict(inputs=[torch.zeros(3, *SIZE)], data_samples=[SegDataSample(metainfo=dict(ori_shape=SIZE))])
    with pytest.raises(ValueError, match='leave data_preprocessor.test_cfg out'):
        model.test_step(data)


def test_time_augmentation_needs_the_logits(colour_reader):
    model = DeepUNettoTTA(colour_reader(test_cfg=dict(TILES, keep_logits=False)))
    with pytest.raises(ValueError, match=r'leave out test_cfg\.keep_logits=False'):
        model.test_step(dict(inputs=[], data_samples=[]))
