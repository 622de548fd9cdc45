import numpy as np
import pytest
import torch

from deepunetto_mm.models import ConnectedComponentsProposer
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = dict(
    classes=['sky', 'cytoplasm', 'nucleus', 'dog'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['a', 'b']),
        dict(name='dog', members=['dog'], fine_classes=['poodle']),
    ],
)
LABELS = torch.tensor(
    [[[1, 2, 0, 3], [1, 1, 0, 3], [0, 0, 0, 0], [1, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]
)


def _probs() -> torch.Tensor:
    probs = torch.zeros(2, 2, 4, 4)
    probs[0, 0, 0, 0], probs[0, 0, 0, 1] = 1.0, 0.6
    probs[0, 1, :2, 3] = torch.tensor([0.5, 0.7])
    return probs


def _maps(labels=LABELS, probs=None, taxonomy=TAXONOMY) -> Maps:
    probs = _probs() if probs is None else probs
    return Maps.known(Taxonomy.from_dict(taxonomy), labels=labels, group_probs=probs)


def test_boxes_areas_scores_and_ids():
    regions, maps = ConnectedComponentsProposer(TAXONOMY)(_maps())
    first = regions[0]
    assert first.ids.tolist() == [1, 2, 3]  # the largest first
    assert first.labels.tolist() == [0, 1, 0]
    assert first.areas.tolist() == [4, 2, 1]
    assert first.bboxes.tolist() == [[0, 0, 2, 2], [3, 0, 4, 2], [0, 3, 1, 4]]
    torch.testing.assert_close(first.scores, torch.tensor([0.4, 0.6, 0.0]))
    torch.testing.assert_close(first.group_probs, torch.tensor([[0.4, 0.0], [0.0, 0.6], [0.0, 0.0]]))
    assert maps[0].tolist() == [[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]]


def test_maps_are_not_copied(monkeypatch):
    monkeypatch.setattr(Maps, 'select', None)
    splitter = dict(type='deepunetto_mm.DistanceWatershed')
    for options in ({}, dict(splitter=splitter)):
        assert [len(own) for own in ConnectedComponentsProposer(TAXONOMY, **options)(_maps())[0]] == [3, 0]


def test_components_of_each_name():
    """A cell of two names is two regions; a pixel's name counts within its group alone."""
    names = torch.zeros(2, 3, 4, 4)
    names[:, 2] = 9  # poodle, which no cell is
    names[0, 1, :, 1] = 1  # b in the second column, elsewhere a
    maps = Maps.known(
        Taxonomy.from_dict(TAXONOMY), {'names.logits': names}, {'names.logits': 'logits'}, LABELS, group_probs=_probs()
    )
    assert maps.named_labels('names.logits')[0].tolist() == [[4, 5, 0, 6], [4, 5, 0, 6], [0, 0, 0, 0], [4, 0, 0, 0]]
    regions, region_maps = ConnectedComponentsProposer(TAXONOMY, by_name='names.logits')(maps)
    assert region_maps[0].tolist() == [[1, 2, 0, 3], [1, 2, 0, 3], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert (regions[0].labels.tolist(), regions[0].areas.tolist()) == ([0, 0, 1, 0], [2, 2, 2, 1])
    assert len(regions[1]) == 0
    on_device = ConnectedComponentsProposer(TAXONOMY, by_name='names.logits', backend='torch')(maps)
    assert torch.equal(on_device[1], region_maps)
    # Least areas are those of the groups, not of the names.
    for backend in ('cv2', 'torch'):
        options = dict(by_name='names.logits', min_area=[1, 3], backend=backend)
        (cells, _), least_maps = ConnectedComponentsProposer(TAXONOMY, **options)(maps)
        assert least_maps[0].tolist() == [[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0]]
        assert cells.labels.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="by_name='n.logits' has 2 channels, not one for each of the 3 fine"):
        Maps.known(maps.taxonomy, {'n.logits': names[:, :2]}, {'n.logits': 'logits'}, LABELS).named_labels('n.logits')
    with pytest.raises(ValueError, match="by class or by name: by_class=True and by_name='x'"):
        ConnectedComponentsProposer(TAXONOMY, by_class=True, by_name='x')


def test_no_region_is_normal():
    regions, maps = ConnectedComponentsProposer(TAXONOMY)(_maps(LABELS[1:], _probs()[1:]))
    assert len(regions[0]) == 0
    assert regions[0].bboxes.shape == (0, 4)
    assert regions[0].group_probs.shape == (0, 2)
    assert not maps.any()


def test_batch_equals_one_by_one():
    proposer = ConnectedComponentsProposer(TAXONOMY, min_area=2)
    together, maps = proposer(_maps())
    for i in range(2):
        alone, alone_map = proposer(_maps().select([i]))
        assert torch.equal(alone_map[0], maps[i])
        assert all(torch.equal(alone[0][key], together[i][key]) for key in alone[0].keys())


def test_minimum_area_and_number():
    assert ConnectedComponentsProposer(TAXONOMY, min_area=2)(_maps())[0][0].areas.tolist() == [4, 2]
    regions, maps = ConnectedComponentsProposer(TAXONOMY, max_regions=1)(_maps())
    assert regions[0].areas.tolist() == [4]
    assert maps[0].sum() == 4


@pytest.mark.parametrize('backend', ['cv2', 'torch'])
@pytest.mark.parametrize('by_class', [False, True])
def test_minimum_area_of_each_group(backend, by_class):
    def areas(*least):
        proposer = ConnectedComponentsProposer(TAXONOMY, min_area=least, backend=backend, by_class=by_class)
        regions, region_maps = proposer(_maps())
        assert (region_maps[0] > 0).sum() == regions[0].areas.sum()
        return list(zip(regions[0].labels.tolist(), regions[0].areas.tolist()))

    # The cell of 4 pixels has a nucleus of one; another cell has one pixel.
    cells = [(0, 3), (1, 2), (0, 1), (0, 1)] if by_class else [(0, 4), (1, 2), (0, 1)]
    assert areas(1, 2) == cells
    assert areas(2, 1) == cells[:2]
    assert areas(1, 3) == [cell for cell in cells if cell != (1, 2)]
    assert areas(5, 3) == []


@pytest.mark.parametrize('min_area', [0, [2], [2, 0], [2.5, 3], 5.0, '60', {'cell': 4, 'dog': 3}, None], ids=str)
def test_minimum_area_is_a_number_or_one_for_each_group(min_area):
    with pytest.raises(ValueError, match=r"min_area must be .* one for each of the groups \['cell', 'dog'\], got "):
        ConnectedComponentsProposer(TAXONOMY, min_area=min_area)


@pytest.mark.parametrize('options', [dict(), dict(splitter=dict(type='deepunetto_mm.DistanceWatershed'))], ids=str)
def test_torch_finds_what_the_host_finds(options):
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (2, 30, 40)))
    maps = _maps(labels, torch.rand(2, 2, 30, 40))
    (host, host_maps), (own, own_maps) = (
        ConnectedComponentsProposer(TAXONOMY, connectivity=4, min_area=2, backend=backend, **options)(maps)
        for backend in ('cv2', 'torch')
    )
    assert len(host[0]) > 50
    assert torch.equal(own_maps, host_maps)
    for one, other in zip(own, host):
        assert all(torch.equal(one[key], other[key]) for key in other.keys())


def test_no_gradient():
    regions, _ = ConnectedComponentsProposer(TAXONOMY)(_maps(probs=_probs().requires_grad_()))
    assert not regions[0].scores.requires_grad


@pytest.mark.parametrize('options', [dict(connectivity=5), dict(backend='scipy'), dict(max_regions=-1)])
def test_bad_options_are_told_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ConnectedComponentsProposer(TAXONOMY, **options)


def test_classes_of_a_group_that_touch_are_one_region_or_each_their_own():
    taxonomy = dict(
        classes=['road', 'car', 'person', 'bus'],
        groups=[
            dict(name='human', members=['person'], fine_classes=['person']),
            dict(name='vehicle', members=['car', 'bus'], fine_classes=['car', 'bus']),
        ],
    )
    labels = torch.tensor([[[1, 1, 3, 0, 2], [1, 1, 3, 0, 0]]])
    probs = torch.rand(1, 2, 2, 5)

    def propose(by_class):
        proposer = ConnectedComponentsProposer(taxonomy, by_class=by_class)
        regions, maps = proposer(_maps(labels, probs, taxonomy))
        return regions[0].labels.tolist(), maps[0].tolist()

    assert propose(False) == ([1, 0], [[1, 1, 1, 0, 2], [1, 1, 1, 0, 0]])
    assert propose(True) == ([1, 1, 0], [[1, 1, 2, 0, 3], [1, 1, 2, 0, 0]])
