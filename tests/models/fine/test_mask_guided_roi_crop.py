import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models import MaskGuidedRoICrop


def _regions(bboxes, ids=None, labels=None) -> InstanceData:
    count = len(bboxes)
    return InstanceData(
        ids=torch.tensor(ids or range(1, count + 1), dtype=torch.long),
        labels=torch.tensor(labels or [0] * count, dtype=torch.long),
        bboxes=torch.tensor(bboxes, dtype=torch.float32).reshape(count, 4),
    )


def _scene():
    """An 8x8 picture with region 1 (rows 2-5, columns 1-4) and, touching it, region 2 (columns 5-6)."""
    maps = torch.zeros(1, 8, 8, dtype=torch.long)
    maps[0, 2:6, 1:5], maps[0, 2:6, 5:7] = 1, 2
    picture = torch.arange(64.0).view(1, 1, 8, 8).repeat(1, 3, 1, 1) + torch.tensor([0.0, 100.0, 200.0]).view(
        1, 3, 1, 1
    )
    return _regions([[1, 2, 5, 6], [5, 2, 7, 6]], labels=[0, 1]), maps, picture, torch.rand(1, 2, 8, 8)


def test_plain_box_of_own_size_is_a_copy():
    regions, maps, picture, _ = _scene()
    crops = MaskGuidedRoICrop(4, guidance='none', margin=0.0)(regions=[regions[:1]], region_maps=maps, picture=picture)
    torch.testing.assert_close(crops, picture[:, :, 2:6, 1:5])


def test_crop_and_paste_are_inverses():
    regions, maps, picture, _ = _scene()
    crop = MaskGuidedRoICrop((4, 2), guidance='hard', margin=0.0, keep_aspect=False, mask_sampling_ratio=1)
    crops = crop([regions[1:]], maps, picture)
    pasted = torch.zeros_like(picture)
    pasted[:, :, 2:6, 5:7] = crops
    inside = (maps == 2).expand_as(picture)
    torch.testing.assert_close(pasted[inside], picture[inside])


def test_hard_guidance_blanks_the_touching_neighbour_with_the_mean_colour():
    _, maps, picture, _ = _scene()
    crops = MaskGuidedRoICrop((4, 6), guidance='hard', margin=0.0, mask_sampling_ratio=1)(
        [_regions([[1, 2, 7, 6]])], maps, picture
    )
    mean = picture.mean((2, 3))[0]
    torch.testing.assert_close(crops[0, :, 1:3, 4:5].squeeze(-1), mean[:, None].expand(3, 2))
    torch.testing.assert_close(crops[0, :, 1:3, 1:3], picture[0, :, 3:5, 2:4])


def test_soft_guidance_blends_by_the_groups_probability():
    regions, maps, picture, _ = _scene()
    probs = torch.stack([torch.full((8, 8), 0.25), torch.full((8, 8), 0.75)])[None]
    crop = MaskGuidedRoICrop(4, guidance='soft', margin=0.0, fill=10.0, mask_sampling_ratio=1)
    crops = crop([regions], maps, picture, group_probs=probs)
    expected = 10 + 0.25 * (picture[0, :, 3:5, 2:4] - 10)
    torch.testing.assert_close(crops[0, :, 1:3, 1:3], expected)
    # Region 2 is 2 wide in a square of 4: its group is the other one, and half of its crop is fill.
    torch.testing.assert_close(crops[1, :, 1:3, 1:3], 10 + 0.75 * (picture[0, :, 3:5, 5:7] - 10))
    torch.testing.assert_close(crops[1, :, :, 3], torch.full((3, 4), 10.0))


def test_concat_appends_the_mask_and_blanks_nothing():
    regions, maps, picture, probs = _scene()
    options = dict(output_size=4, margin=0.0, mask_sampling_ratio=1)
    crops = MaskGuidedRoICrop(**options, guidance='concat')([regions], maps, picture, group_probs=probs)
    plain = MaskGuidedRoICrop(**options, guidance='none')([regions], maps, picture)
    assert crops.shape == (2, 4, 4, 4)
    torch.testing.assert_close(crops[:, :3], plain)
    torch.testing.assert_close(crops[0, 3, 1:3, 1:3], probs[0, 0, 3:5, 2:4])


def test_outside_the_picture_is_fill():
    maps = torch.ones(1, 4, 4, dtype=torch.long)
    crops = MaskGuidedRoICrop(8, guidance='none', margin=0.5, fill=7.0)(
        [_regions([[0, 0, 4, 4]])], maps, torch.zeros(1, 1, 4, 4)
    )
    torch.testing.assert_close(crops[0, 0, 0], torch.full((8,), 7.0))
    torch.testing.assert_close(crops[0, 0, 3:5, 3:5], torch.zeros(2, 2))


def test_keep_aspect_or_stretch():
    maps = torch.ones(1, 8, 8, dtype=torch.long)
    picture = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 1, 8, 8)  # a pixel's row
    boxes = [[2, 3, 6, 5]]  # twice as wide as high
    square = MaskGuidedRoICrop(4, guidance='none', margin=0.0)([_regions(boxes)], maps, picture)
    stretched = MaskGuidedRoICrop(4, guidance='none', margin=0.0, keep_aspect=False, sampling_ratio=1)(
        [_regions(boxes)], maps, picture
    )
    torch.testing.assert_close(square[0, 0, :, 0], torch.tensor([2.0, 3.0, 4.0, 5.0]))
    torch.testing.assert_close(stretched[0, 0, :, 0], torch.tensor([2.75, 3.25, 3.75, 4.25]))


def test_a_window_of_one_size_keeps_what_size_says():
    maps = torch.zeros(1, 8, 8, dtype=torch.long)
    maps[0, 1:3, 1:3], maps[0, 3:7, 3:7] = 1, 2
    crop = MaskGuidedRoICrop(6, guidance='concat', window=6.0, fill=0.0, mask_sampling_ratio=1)
    crops = crop(
        [_regions([[1, 1, 3, 3], [3, 3, 7, 7]])], maps, torch.zeros(1, 1, 8, 8), group_probs=torch.ones(1, 1, 8, 8)
    )
    assert crops[:, 1].sum((1, 2)).tolist() == [4, 16]  # as many pixels as the regions have
    fitted = MaskGuidedRoICrop(6, guidance='concat', margin=0.0)
    crops = fitted(
        [_regions([[1, 1, 3, 3], [3, 3, 7, 7]])], maps, torch.zeros(1, 1, 8, 8), group_probs=torch.ones(1, 1, 8, 8)
    )
    assert (crops[:, 1].sum((1, 2)) > 0.7 * 36).all()  # fitted to the box, both fill the crop


@pytest.mark.parametrize('guidance', ['soft', 'concat'])
def test_gradient_reaches_the_mask_by_finite_differences(guidance):
    regions, maps, picture, _ = _scene()
    crop = MaskGuidedRoICrop(3, guidance=guidance, margin=0.1)
    direction = torch.randn(2, 4 if guidance == 'concat' else 3, 3, 3, generator=torch.Generator().manual_seed(0))
    probs = torch.full((1, 2, 8, 8), 0.5, requires_grad=True)

    def value(p: torch.Tensor) -> torch.Tensor:
        return (crop([regions], maps, picture / 100, group_probs=p) * direction).sum()

    value(probs).backward()
    for index in [(0, 0, 3, 2), (0, 1, 4, 6), (0, 1, 3, 2)]:
        step = torch.zeros_like(probs)
        step[index] = 0.25
        difference = (value(probs.detach() + step) - value(probs.detach() - step)) / 0.5
        torch.testing.assert_close(probs.grad[index], difference, atol=1e-4, rtol=1e-3)
    assert probs.grad[0, 0, 3, 2] != 0
    assert probs.grad[0, 1, 3, 2] == 0  # a pixel of region 1, whose group is 0


@pytest.mark.parametrize('guidance', ['detach', 'hard', 'none'])
def test_no_gradient_when_not_asked(guidance):
    regions, maps, picture, probs = _scene()
    crops = MaskGuidedRoICrop(4, guidance=guidance)([regions], maps, picture, group_probs=probs.requires_grad_())
    assert not crops.requires_grad


def test_detach_has_the_values_of_soft():
    regions, maps, picture, probs = _scene()
    soft, detach = (
        MaskGuidedRoICrop(4, guidance=g)([regions], maps, picture, group_probs=probs) for g in ('soft', 'detach')
    )
    torch.testing.assert_close(soft, detach)


@pytest.mark.parametrize('guidance', ['soft', 'detach', 'hard', 'concat', 'none'])
def test_no_region(guidance):
    _, maps, picture, probs = _scene()
    crop = MaskGuidedRoICrop((5, 6), guidance=guidance, in_index=(1,))
    crops = crop([_regions([])], maps, picture, [None, torch.zeros(1, 7, 2, 2)], probs)
    assert crops.shape == (0, 10 + (guidance == 'concat'), 5, 6)


def test_features_of_any_stride_beside_the_picture():
    regions, maps, picture, _ = _scene()
    column = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    half = torch.nn.functional.avg_pool2d(column, 2)
    crops = MaskGuidedRoICrop(2, in_index=(0, 1), guidance='none', margin=0.0)(
        [regions[:1]], maps, picture, [column, half]
    )
    assert crops.shape == (1, 5, 2, 2)
    torch.testing.assert_close(crops[0, 3], torch.tensor([[1.5, 3.5]] * 2))
    torch.testing.assert_close(crops[0, 4], crops[0, 3])  # a linear ramp reads the same at every stride


def test_flip_equivariance():
    regions, maps, picture, probs = _scene()
    crop = MaskGuidedRoICrop(4)
    crops = crop([regions], maps, picture, group_probs=probs)
    flipped = InstanceData(ids=regions.ids, labels=regions.labels, bboxes=regions.bboxes[:, [2, 1, 0, 3]])
    flipped.bboxes[:, [0, 2]] = 8 - flipped.bboxes[:, [0, 2]]
    mirrored = crop([flipped], maps.flip(2), picture.flip(3), group_probs=probs.flip(3))
    torch.testing.assert_close(mirrored.flip(3), crops)


def test_batch_equals_one_by_one():
    regions, maps, picture, probs = _scene()
    crop = MaskGuidedRoICrop(4)
    twice = crop(
        [regions[:1], regions],
        torch.cat([maps, maps]),
        torch.cat([picture, picture + 5]),
        group_probs=torch.cat([probs, probs / 2]),
    )
    alone = [
        crop([regions[:1]], maps, picture, group_probs=probs),
        crop([regions], maps, picture + 5, group_probs=probs / 2),
    ]
    torch.testing.assert_close(twice, torch.cat(alone))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(guidance='sof'), 'guidance'),
        (dict(picture=False), 'nothing to crop'),
        (dict(fill='grey'), 'fill'),
        (dict(window=0), 'window'),
        (dict(mask_sampling_ratio=0), 'mask_sampling_ratio'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MaskGuidedRoICrop(4, **options)


def test_the_mask_is_hard_unless_told_otherwise():
    regions, maps, picture, probs = _scene()
    by_default, hard, soft = (
        MaskGuidedRoICrop(4, **option)([regions], maps, picture, group_probs=0.5 * probs)
        for option in ({}, dict(guidance='hard'), dict(guidance='soft'))
    )
    assert torch.equal(by_default, hard)
    assert not torch.equal(by_default, soft)


def test_missing_sources_are_named():
    regions, maps, picture, _ = _scene()
    with pytest.raises(ValueError, match='group_probs'):
        MaskGuidedRoICrop(4, guidance='soft')([regions], maps, picture)
    with pytest.raises(ValueError, match='needs the picture'):
        MaskGuidedRoICrop(4, guidance='none')([regions], maps)
    with pytest.raises(ValueError, match='feature maps'):
        MaskGuidedRoICrop(4, guidance='none', in_index=(0,))([regions], maps, picture)
