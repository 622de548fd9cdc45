"""What a network refuses when it is built, and what its parts are told."""

import pytest
import torch

from deepunetto_mm.models.segmentors.fitting import require_map_of_names
from deepunetto_mm.structures import TaxonomyError

DOG, CAT, SKY = 1, 2, 3
NO_REGIONS = dict(region_proposer=None, crop_neck=None, fine_backbone=None, fine_head=None)
NAMES = dict(type='deepunetto_mm.FineMapHead', in_channels=[8], in_index=(0,), channels=4)
BOXES = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT), (0, 11, 20, 16, SKY)]


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
        (dict(test_cfg=dict(join=True)), ValueError, "join=True joins .*fine_head.condition='flat'"),
        (
            dict(
                test_cfg=dict(join=True),
                dense_heads=dict(borders=dict(type='deepunetto_mm.BorderHead', in_channels=8)),
                region_proposer=dict(type='deepunetto_mm.BorderWatershed', across_groups=True),
                fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=8, condition='flat'),
            ),
            ValueError,
            'join=True joins what borders have separated',
        ),
        (
            dict(NO_REGIONS, test_cfg=dict(vote=True, oracle=True)),
            ValueError,
            r"test_cfg has \['vote', 'oracle'\], .* add a region_proposer",
        ),
        (
            dict(
                NO_REGIONS,
                backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=(4, 8)),
                decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=(4, 8), num_classes=4),
                dense_heads=dict(borders=dict(type='deepunetto_mm.BorderHead', in_channels=4)),
            ),
            ValueError,
            'dense_heads compare their maps with the whole input, and an unpadded U-Net',
        ),
        (
            dict(region_proposer=dict(type='deepunetto_mm.BorderWatershed')),
            ValueError,
            r"BorderWatershed reads the maps \['borders.logits'\] .* has the maps {'logits': 'logits'}: add the head",
        ),
        (
            dict(region_proposer=dict(type='deepunetto_mm.BorderWatershed', borders='logits')),
            ValueError,
            r"BorderWatershed reads the maps \['logits'\] of dense heads",
        ),
        (
            dict(region_proposer=dict(type='deepunetto_mm.CentreOffsetProposer', head='c')),
            ValueError,
            r"CentreOffsetProposer reads the maps \['c.heat', 'c.vectors'\] of dense heads",
        ),
        (
            dict(NO_REGIONS, dense_heads=dict(names=NAMES), region_names='names.logits'),
            ValueError,
            "region_names='names.logits' names regions: add a region_proposer",
        ),
        (
            dict(dense_heads=dict(decode=NAMES)),
            ValueError,
            r'dense_heads.decode: decode\.\* are losses of another part; choose another name',
        ),
        (dict(test_cfg=dict(tile_size=(8, 8))), ValueError, r"test_cfg has \['tile_size'\] and no mode: set mode='sl"),
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


def test_a_map_of_names_is_one_of_logits():
    kinds = {'logits': 'logits', 'names.logits': 'logits', 'centres.heat': 'heat'}
    require_map_of_names(kinds, 'region_names', 'logits')
    require_map_of_names(kinds, 'region_proposer.by_name', 'names.logits', of_dense_head=True)
    with pytest.raises(ValueError, match=r"^region_names='centres.heat': a map of kind 'logits' gives names; .*'heat'"):
        require_map_of_names(kinds, 'region_names', 'centres.heat')
    with pytest.raises(ValueError, match=r"^region_proposer.by_name='logits': a dense head's map of kind 'logits'"):
        require_map_of_names(kinds, 'region_proposer.by_name', 'logits', of_dense_head=True)
