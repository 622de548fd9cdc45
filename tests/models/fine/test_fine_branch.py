"""The fine branch apart from the network around it; with it: tests/models/segmentors and tests/models/classifiers."""

import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import nn

from deepunetto_mm.models.fine.fine_branch import FineBranch, move_parameters
from deepunetto_mm.models.fine.fine_head import FineHead, pool_last
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps, View

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat'],
        groups=[
            dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
            dict(name='cat', members=['cat'], fine_classes=['tabby']),
        ],
    )
)


class _Crop(nn.Module):
    """The mean colour of each region, as a crop of one pixel; counts how many it is asked for."""

    needs_group_probs = False
    in_index = ()

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, regions, region_maps, picture, feats, group_probs, picture_mean=None):
        assert group_probs is None
        means = [
            picture[i][:, region_maps[i] == id_].mean(1)
            for i, region in enumerate(regions)
            for id_ in region.ids.tolist()
        ]
        self.asked.append(len(means))
        return torch.stack(means)[:, :, None, None] if means else picture.new_zeros(0, 3, 1, 1)


class _Colours(FineHead):
    """Logits are the colours."""

    def forward(self, feats):
        return pool_last(feats)


def _branch(condition='hard', **options):
    return FineBranch(TAXONOMY, _Crop(), _Colours(TAXONOMY, condition), **options)


def _scene(count):
    """A picture whose regions 1, 2, ... are columns of a colour of their own; all are dogs."""
    colours = torch.arange(3.0 * count).view(count, 3).flip(1)
    picture = colours.T[:, None].expand(3, 4, count).contiguous()
    region_map = torch.arange(1, count + 1).expand(4, count).contiguous()
    regions = InstanceData(
        ids=torch.arange(1, count + 1),
        labels=torch.zeros(count, dtype=torch.long),
        fine_labels=torch.arange(count) % 2,
        bboxes=torch.tensor([[x, 0.0, x + 1, 4] for x in range(count)]).reshape(count, 4),
        group_probs=torch.ones(count, 2),
    )
    return picture, regions, region_map, colours


def _view(picture):
    return View(picture[None], None, Maps({}, {}, TAXONOMY))


def _sample(regions, region_map):
    sample = SegDataSample()
    sample.set_data(dict(gt_regions=regions, gt_region_map=PixelData(data=region_map[None])))
    return sample


@pytest.mark.parametrize(('per_pass', 'passes'), [(256, [5]), (2, [2, 2, 1])])
def test_scores_by_hand_in_one_pass_or_several(per_pass, passes):
    picture, regions, region_map, colours = _scene(5)
    branch = _branch(crops_per_pass=per_pass)
    (scores,) = branch.predict([(_view(picture), [SegDataSample()])], [regions], [region_map], [])
    expected = torch.cat([colours[:, :2].softmax(1), torch.zeros(5, 1)], 1)
    torch.testing.assert_close(scores, expected)
    assert branch.crop_neck.asked == passes


def test_scores_are_averaged_over_views():
    picture, regions, region_map, colours = _scene(2)
    views = [(_view(factor * picture), [SegDataSample()]) for factor in (1, 3)]
    (scores,) = _branch().predict(views, [regions], [region_map], [])
    expected = (colours[:, :2].softmax(1) + (3 * colours[:, :2]).softmax(1)) / 2
    torch.testing.assert_close(scores[:, :2], expected)


def test_pixels_are_a_second_opinion():
    """Scores of both are multiplied; a name of another group stays impossible."""
    picture, regions, region_map, colours = _scene(2)
    names = torch.tensor([[0.2, 0.6], [0.8, 0.4], [1, 1]]).log()  # of the two columns, which are the two regions
    maps = Maps({'names.logits': names[None, :, None].expand(1, 3, 4, 2)}, {'names.logits': 'logits'}, TAXONOMY)
    branch = _branch(pixel_names='names.logits')
    (scores,) = branch.predict([(_view(picture), [SegDataSample()])], [regions], [region_map], [maps])
    product = colours[:, :2].softmax(1) * torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    expected = torch.cat([product / product.sum(1, keepdim=True), torch.zeros(2, 1)], 1)
    torch.testing.assert_close(scores, expected)
    (nothing,) = branch.predict(
        [(_view(picture), [SegDataSample()])], [regions[:0]], [torch.zeros_like(region_map)], [maps]
    )
    assert nothing.shape == (0, 3)


def test_tiny_products_are_scores_too():
    _, regions, region_map, _ = _scene(1)
    colours = torch.tensor([[50.0, 0, 0]])  # poodle, and a boxer by exp(-50), about 2e-22
    names = torch.tensor([-60.0, 0, 0])  # a poodle by exp(-60), about 9e-27
    maps = Maps({'names.logits': names.view(1, 3, 1, 1).expand(1, 3, 4, 1)}, {'names.logits': 'logits'}, TAXONOMY)
    view = _view(colours.T[:, None].expand(3, 4, 1))
    branch = _branch(pixel_names='names.logits')
    (scores,) = branch.predict([(view, [SegDataSample()])], [regions], [region_map], [maps])
    torch.testing.assert_close(scores, torch.tensor([[-10.0, 0, -torch.inf]]).softmax(1))


def test_pixels_as_a_second_opinion_of_all_names():
    """Without the group as a bound, what crops and pixels say of a third name counts, too."""
    picture, regions, region_map, colours = _scene(2)
    regions.group_probs = torch.tensor([[0.5, 0.1], [0.2, 0.7]])
    names = torch.tensor([[0.2, 0.6], [0.8, 0.4], [1, 1]]).log()
    maps = Maps({'names.logits': names[None, :, None].expand(1, 3, 4, 2)}, {'names.logits': 'logits'}, TAXONOMY)
    branch = _branch(condition='flat', pixel_names='names.logits')
    (scores,) = branch.predict([(_view(picture), [SegDataSample()])], [regions], [region_map], [maps])
    pixels = torch.tensor([[0.5 * 0.2, 0.5 * 0.8, 0.1], [0.2 * 0.6, 0.2 * 0.4, 0.7]])
    product = colours.softmax(1) * pixels
    torch.testing.assert_close(scores, product / product.sum(1, keepdim=True))


def test_the_loss_by_hand():
    picture, regions, region_map, colours = _scene(2)
    losses = _branch().loss(_view(picture), [_sample(regions, region_map)])
    expected = nn.functional.cross_entropy(colours[:, :2], torch.tensor([0, 1]))
    torch.testing.assert_close(losses['loss_cls'], expected)


@pytest.mark.parametrize(('coins', 'proposed'), [((0.9, 0.1, 0.2), [1, 2]), ((0.9, 0.9, 0.5), [])])
def test_only_pictures_whose_regions_are_predicted_are_proposed(monkeypatch, coins, proposed):
    picture, regions, region_map, _ = _scene(2)
    tosses, asked = iter(coins), []
    monkeypatch.setattr(torch, 'rand', lambda size: torch.tensor(next(tosses)))

    def propose(maps):
        asked.extend(maps.labels[:, 0, 0].tolist())
        return [regions[:1]] * len(maps.labels), torch.where(region_map == 1, 1, 0).repeat(len(maps.labels), 1, 1)

    maps = Maps.known(TAXONOMY, labels=torch.arange(3).view(3, 1, 1).expand(3, 4, 2))
    view = View(picture.expand(3, 3, 4, 2), None, maps)
    found, found_maps = _branch(regions='mixed').training_regions(
        view, [_sample(regions, region_map) for _ in range(3)], propose
    )
    assert asked == proposed
    for i in range(3):
        assert len(found[i]) == (1 if i in proposed else 2)
        assert found_maps[i].unique().tolist() == ([0, 1] if i in proposed else [1, 2])


def test_no_region_goes_through_all_parts():
    picture, regions, region_map, _ = _scene(1)
    none, empty = regions[:0], torch.zeros_like(region_map)
    branch = _branch()
    (scores,) = branch.predict([(_view(picture), [SegDataSample()])], [none], [empty], [])
    assert scores.shape == (0, 3)
    assert branch.loss(_view(picture), [_sample(none, empty)])['loss_cls'] == 0


def test_old_names_are_moved_and_others_stay():
    state = {'net.head.fc.weight': 1, 'net.heading': 2, 'head.fc.weight': 3, 'net.backbone.head.x': 4}
    move_parameters(state, 'net.', {'head.': 'branch.head.'})
    assert state == {'net.branch.head.fc.weight': 1, 'net.heading': 2, 'head.fc.weight': 3, 'net.backbone.head.x': 4}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(regions='all'), 'regions must be'),
        (dict(box_jitter=0.5), '0.5'),
        (dict(max_regions=0), 'at least 1, and max_regions too, or None for all; got 256 and 0'),
        (dict(crops_per_pass=0), 'crops_per_pass must be at least 1, .* got 0 and None'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        _branch(**options)


def test_a_neck_says_what_it_reads():
    with pytest.raises(ValueError, match='crop_neck Identity has no needs_group_probs and no in_index, see CropNeck'):
        FineBranch(TAXONOMY, nn.Identity(), _Colours(TAXONOMY))


def test_necks_without_boxes_cut_no_windows():
    with pytest.raises(ValueError, match='for which the crop_neck must say its boxes: _Crop has no method boxes'):
        _branch().require_windows()
