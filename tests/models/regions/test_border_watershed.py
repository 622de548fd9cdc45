"""Regions cut along painted borders."""

import numpy as np
import pytest
import torch

from deepunetto_mm.models import BorderWatershed, ConnectedComponentsProposer, DenseHead
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = dict(
    classes=['sky', 'cell', 'nucleus', 'dog'],
    groups=[
        dict(name='cell', members=['cell', 'nucleus'], fine_classes=['a', 'b']),
        dict(name='dog', members=['dog'], fine_classes=['poodle']),
    ],
)


def _maps(labels, border):
    """Maps of pictures: classes (N, H, W), and probabilities of a border of the same shape."""
    labels, border = torch.as_tensor(labels), torch.as_tensor(border, dtype=torch.float32)
    return Maps.known(
        Taxonomy.from_dict(TAXONOMY),
        {'borders.logits': border[:, None].logit(eps=1e-4)},
        {'borders.logits': 'logits'},
        labels=labels,
        group_probs=torch.ones(len(labels), 2, *labels.shape[1:]),
    )


def _bar(height=5, width=12, column=6, probability=0.9):
    """A bar without a neck, and a border of one column in it."""
    labels = np.zeros((1, height + 2, width + 2), np.int64)
    labels[0, 1:-1, 1:-1] = 1
    border = np.zeros(labels.shape, np.float32)
    border[..., column] = probability
    return labels, border


def _propose(labels, border, **options):
    regions, region_maps = BorderWatershed(TAXONOMY, **options)(_maps(labels, border))
    return regions, region_maps


def test_a_bar_is_cut_at_its_border():
    labels, border = _bar()
    regions, region_maps = _propose(labels, border)
    # The border's own pixels go to either of the two, so that none is lost.
    assert (region_maps > 0).equal(torch.as_tensor(labels > 0))
    assert len(region_maps[0, 1:-1, 1:6].unique()) == len(region_maps[0, 1:-1, 7:-1].unique()) == 1
    assert len(regions[0]) == 2
    assert regions[0].areas.min() >= 25
    assert regions[0].labels.tolist() == [0, 0]
    assert regions[0].scores.tolist() == [1, 1]


def test_what_is_a_border():
    labels, border = _bar(probability=0.4)
    assert len(_propose(labels, border)[0][0]) == 1
    assert len(_propose(labels, border, threshold=0.3)[0][0]) == 2
    border[0, 3, 6] = 0  # a gap of one pixel
    assert len(_propose(labels, border, threshold=0.3)[0][0]) == 1
    # Where all is border, nothing is cut, and nothing is lost.
    border[:] = 0.9
    assert _propose(labels, border)[0][0].areas.tolist() == [60]


def test_small_seeds_and_small_parts():
    labels, border = _bar(column=3)  # 10 pixels on its left
    assert len(_propose(labels, border)[0][0]) == 2
    assert len(_propose(labels, border, min_seed=10)[0][0]) == 2
    assert len(_propose(labels, border, min_seed=11)[0][0]) == 1
    # A part that is too small is given back, a component that is too small left out.
    assert _propose(labels, border, min_area=20)[0][0].areas.tolist() == [60]
    assert len(_propose(labels, border, min_area=61)[0][0]) == 0


def test_groups_are_cut_each_by_itself():
    labels, border = _bar()
    labels[0, 1:-1, 9:] = np.where(labels[0, 1:-1, 9:] > 0, 3, 0)
    labels[0, 3, 4] = 2
    regions, region_maps = _propose(labels, border)
    assert sorted(regions[0].labels.tolist()) == [0, 0, 1]
    assert len(region_maps[0, 1:-1, 9:-1].unique()) == 1
    regions, _ = _propose(labels, border, by_class=True)
    assert sorted(regions[0].labels.tolist()) == [0, 0, 0, 1]


def test_across_groups_borders_alone_separate():
    labels, border = _bar()
    labels[0, 2:4, 2:5] = 3  # a part of the left half is taken for a dog
    labels[0, 1:-1, 9:-1] = 3  # and more than half of the right one
    regions, region_maps = _propose(labels, border, across_groups=True)
    assert region_maps.gt(0).equal(torch.as_tensor(labels > 0))
    left, right = region_maps[0, 3, 1], region_maps[0, 3, -2]
    assert (region_maps[0, 1:-1, 1:6] == left).all()
    assert (region_maps[0, 1:-1, 7:-1] == right).all()
    group = dict(zip(regions[0].ids.tolist(), regions[0].labels.tolist()))
    assert (group[int(left)], group[int(right)]) == (0, 1)
    assert regions[0].areas.sum() == 60
    # The least area is that of the group; here of the dog, whose half has 30 to 35 pixels.
    regions, _ = _propose(labels, border, across_groups=True, min_area=[1, 36])
    assert regions[0].labels.tolist() == [0]
    # Parts below the least area of any group are given back: the left half has 25 to 30 pixels.
    assert _propose(labels, border, across_groups=True, min_area=[31, 40])[0][0].areas.tolist() == [60]
    regions, _ = _propose(labels, border, across_groups=True, max_regions=1)
    assert len(regions[0]) == 1
    nothing, region_maps = _propose(np.zeros_like(labels), border, across_groups=True)
    assert (len(nothing[0]), region_maps.max()) == (0, 0)


def test_ties_of_groups_go_to_the_first():
    labels, border = np.array([[[1, 3, 0], [1, 3, 0]]]), np.zeros((1, 2, 3))
    assert _propose(labels, border, across_groups=True)[0][0].labels.tolist() == [0]
    labels[0, 0, 2] = 3
    assert _propose(labels, border, across_groups=True)[0][0].labels.tolist() == [1]


def test_without_borders_they_are_components():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, (3, 40, 50), p=[0.7, 0.1, 0.1, 0.1])
    labels[2] = 0
    # Seeds have 4 neighbours, so that a border of one pixel separates them along a diagonal, too.
    options = dict(min_area=3, connectivity=4)
    expected = ConnectedComponentsProposer(TAXONOMY, **options)(_maps(labels, np.zeros(labels.shape)))
    regions, region_maps = _propose(labels, np.zeros(labels.shape), **options)
    assert region_maps.equal(expected[1])
    for one, other in zip(regions, expected[0]):
        assert all(one[key].equal(other[key]) for key in other.keys())
    assert len(regions[2]) == 0


@MODELS.register_module()
class BlueBorders(DenseHead):
    """The blue of the picture is a border."""

    kinds = {'logits': 'logits'}

    def forward(self, features, feats):
        return dict(logits=20 * (features[:, 2:] - 0.5))


@pytest.mark.parametrize(
    'mode',
    [
        dict(),
        dict(mode='slide', crop_size=(10, 10), stride=(6, 6)),
        dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, keep_logits=False),
    ],
    ids=str,
)
@pytest.mark.parametrize('across_groups', [False, True])
def test_in_a_network(tiny, scene, mode, across_groups):
    model = tiny(
        backbone=dict(type='deepunetto_mm.Oracle'),
        decode_head=dict(type='deepunetto_mm.ColourSegmentation'),
        dense_heads=dict(borders=dict(type='deepunetto_mm.BlueBorders')),
        region_proposer=dict(type='deepunetto_mm.BorderWatershed', min_area=4, across_groups=across_groups),
        test_cfg=mode,
        crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=8),
    ).eval()
    picture, sample = scene([(1, 1, 18, 9, 1)], [0])
    picture[2, :, 9] = 0.8
    with torch.no_grad():
        result = model.predict(picture[None], [sample])[0]
    assert len(result.pred_regions) == 2
    assert result.pred_regions.areas.sum() == 17 * 8
    assert result.pred_regions.areas.min() >= 8 * 8


def test_a_border_is_one_map():
    maps = Maps.known(
        Taxonomy.from_dict(TAXONOMY),
        {'names.logits': torch.zeros(1, 3, 4, 5)},
        {'names.logits': 'logits'},
        labels=torch.ones(1, 4, 5, dtype=torch.long),
    )
    with pytest.raises(ValueError, match=r"borders='names.logits' has 3 channels; a border is one"):
        BorderWatershed(TAXONOMY, borders='names.logits')(maps)


def test_bad_options(monkeypatch):
    with pytest.raises(ValueError, match='threshold is above 0 and below 1, and min_seed at least 1, got 1.0 and 1'):
        BorderWatershed(TAXONOMY, threshold=1.0)
    with pytest.raises(ValueError, match='of each class, by_class=True, or of all groups, across_groups=True'):
        BorderWatershed(TAXONOMY, by_class=True, across_groups=True)
    monkeypatch.setattr('deepunetto_mm.models.regions.border_watershed.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='needs the package scikit-image'):
        BorderWatershed(TAXONOMY)
