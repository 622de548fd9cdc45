"""Objects that touch, grouped by the centres that their pixels point to, whichever way a picture goes."""

import copy
from typing import Sequence

import pytest
import torch
from torch import Tensor

from deepunetto_mm.models import CentreOffsetProposer, ConnectedComponentsProposer, DeepUNettoTTA, DenseHead
from deepunetto_mm.models.regions import centre_offset_proposer
from deepunetto_mm.ops import row_strips
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

DOG, CAT = 1, 2
TAXONOMY = dict(
    classes=['sky', 'cytoplasm', 'nucleus', 'dog'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['a', 'b']),
        dict(name='dog', members=['dog'], fine_classes=['poodle']),
    ],
)
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'))]
KINDS = {'centres.heat': 'heat', 'centres.vectors': 'vectors'}


def _maps(labels, centres, vectors, probs=0.5) -> Maps:
    """Maps of a picture: ``centres`` are ``{(x, y): heat}``, ``vectors`` ``{(x, y): (dx, dy)}``; 0 elsewhere."""
    labels = torch.tensor(labels)[None]
    heat, arrows = torch.zeros(1, 1, *labels.shape[1:]), torch.zeros(1, 2, *labels.shape[1:])
    for (x, y), value in centres.items():
        heat[0, 0, y, x] = value
    for (x, y), vector in vectors.items():
        arrows[0, :, y, x] = torch.tensor(vector)
    return Maps.known(
        Taxonomy.from_dict(TAXONOMY),
        {'centres.heat': heat, 'centres.vectors': arrows},
        KINDS,
        labels=labels,
        group_probs=torch.full((1, 2, *labels.shape[1:]), probs),
    )


def _propose(maps, **options):
    regions, region_maps = CentreOffsetProposer(TAXONOMY, **{'window': 3, **options})(maps)
    return regions[0], region_maps[0].tolist()


# ------------------------------------------------------------------------------------------------------- by hand
ROW = [[1, 1, 1, 1, 1, 0, 0]]
TO_TWO = {(0, 0): (1.0, 0.0), (2, 0): (-0.9, 0.2), (3, 0): (1.0, 0.0)}


def test_pixels_go_to_the_nearest_centre_of_their_place():
    regions, region_map = _propose(_maps(ROW, {(1, 0): 0.6, (4, 0): 0.9}, TO_TWO))
    assert region_map == [[1, 1, 1, 2, 2, 0, 0]]
    assert regions.ids.tolist() == [1, 2]
    assert regions.areas.tolist() == [3, 2]
    assert regions.bboxes.tolist() == [[0, 0, 3, 1], [3, 0, 5, 1]]
    torch.testing.assert_close(regions.group_probs, torch.full((2, 2), 0.5))
    torch.testing.assert_close(regions.scores, torch.tensor([0.5 * 0.6, 0.5 * 0.9]))


def test_an_object_in_two_pieces_is_one_and_most_pixels_give_the_group():
    # A cell of three classes' pixels, in front of which the sky is, and whose centre is in the sky.
    labels = [[1, 3, 0, 2, 1]]
    regions, region_map = _propose(
        _maps(labels, {(2, 0): 1.5}, {(0, 0): (2.0, 0.0), (1, 0): (1.0, 0.0), (3, 0): (-1.0, 0.0), (4, 0): (-2.0, 0.0)})
    )
    assert region_map == [[1, 1, 0, 1, 1]]
    assert regions.labels.tolist() == [0]
    assert regions.scores.tolist() == [0.5]  # heat above 1 is 1


def test_by_class_keeps_classes_apart():
    labels = [[1, 1, 2, 3]]
    maps = _maps(labels, {(1, 0): 1.0}, {(0, 0): (1.0, 0.0), (2, 0): (-1.0, 0.0), (3, 0): (-2.0, 0.0)})
    regions, region_map = _propose(maps, by_class=True)
    assert region_map == [[1, 1, 2, 3]]
    assert regions.labels.tolist() == [0, 0, 1]


def test_a_component_without_centre_is_a_region_as_it_is():
    # The dog points nowhere: to itself, and far from the only centre.
    labels = [[1, 1, 0, 0, 0, 0, 3, 3]]
    regions, region_map = _propose(_maps(labels, {(0, 0): 0.8}, {(1, 0): (-1.0, 0.0)}))
    assert region_map == [[1, 1, 0, 0, 0, 0, 2, 2]]
    assert regions.labels.tolist() == [0, 1]
    torch.testing.assert_close(regions.scores, torch.tensor([0.5 * 0.8, 0.5 * 0.1]))
    # One of two pixels points to the centre: a tie goes to the centre.
    regions, region_map = _propose(_maps(labels, {(0, 0): 0.8}, {(1, 0): (-1.0, 0.0), (7, 0): (-6.0, 0.0)}))
    assert region_map == [[1, 1, 0, 0, 0, 0, 1, 1]]
    # Without any centre, all are as by components.
    regions, region_map = _propose(_maps(labels, {}, {}))
    assert region_map == [[1, 1, 0, 0, 0, 0, 2, 2]]
    torch.testing.assert_close(regions.scores, torch.tensor([0.05, 0.05]))


def test_no_object_and_small_ones():
    regions, region_map = _propose(_maps([[0, 0, 0]], {(1, 0): 1.0}, {}))
    assert (len(regions), region_map) == (0, [[0, 0, 0]])
    assert regions.scores.shape == (0,)
    assert regions.group_probs.shape == (0, 2)
    maps = _maps(ROW, {(1, 0): 0.6, (4, 0): 0.9}, TO_TWO)
    for options in (dict(min_area=3), dict(max_regions=1), dict(max_regions=1, min_area=2)):
        regions, region_map = _propose(maps, **options)
        assert region_map == [[1, 1, 1, 0, 0, 0, 0]]
        torch.testing.assert_close(regions.scores, torch.tensor([0.3]))


def test_bad_numbers_point_nowhere():
    maps = _maps(ROW, {(1, 0): 1.0}, {(0, 0): (float('nan'), float('inf')), (4, 0): (9e9, 0.0)})
    assert _propose(maps)[1] == [[1, 1, 1, 1, 1, 0, 0]]


def test_centres_are_maxima_above_a_threshold():
    heat = torch.zeros(5, 9)
    heat[1, 1], heat[1, 3], heat[4, 8] = 0.5, 0.4, 0.1
    heat[3, 5] = heat[3, 6] = heat[4, 5] = 0.3  # equal: the first

    def find(**options):
        return CentreOffsetProposer(TAXONOMY, **options).find_centres(heat).tolist()

    assert find(window=3) == [[1, 1], [3, 1], [5, 3]]
    assert find(window=5) == [[1, 1], [6, 3]]  # (5, 3) is too near to (3, 1)
    assert find(window=3, threshold=0.35) == [[1, 1], [3, 1]]
    assert find(window=3, threshold=0.05) == [[1, 1], [3, 1], [5, 3], [8, 4]]
    assert find(window=3, max_centres=2) == [[1, 1], [3, 1]]
    assert find(window=3, threshold=0.6) == []


def _noise(device='cpu') -> Maps:
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (1, 30, 40)).to(device)
    heat, vectors, probs = torch.rand(1, 1, 30, 40), 6 * torch.randn(1, 2, 30, 40), torch.rand(1, 2, 30, 40)
    tensors = {'centres.heat': heat.to(device), 'centres.vectors': vectors.to(device)}
    return Maps.known(Taxonomy.from_dict(TAXONOMY), tensors, KINDS, labels=labels, group_probs=probs.to(device))


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('by_class', [False, True])
def test_torch_finds_what_the_host_finds(device, by_class):
    options = dict(by_class=by_class, min_area=2, max_regions=60)
    (host,), host_map = CentreOffsetProposer(TAXONOMY, backend='cv2', **options)(_noise())
    (own,), own_map = CentreOffsetProposer(TAXONOMY, backend='torch', **options)(_noise(device))
    assert len(host) > 9
    assert torch.equal(own_map.cpu(), host_map)
    for key in host.keys():
        torch.testing.assert_close(own[key].cpu(), host[key])


def test_strips_change_nothing(monkeypatch):
    maps = _noise()
    for by_class in (False, True):
        proposer = CentreOffsetProposer(TAXONOMY, by_class=by_class)
        (whole,), whole_map = proposer(maps)
        with monkeypatch.context() as patch:
            patch.setattr(centre_offset_proposer, 'row_strips', lambda *size: row_strips(*size, pixels=80))
            (strips,), strips_map = proposer(maps)
        assert len(whole) > 9
        assert torch.equal(whole_map, strips_map)
        assert all(torch.equal(whole[key], strips[key]) for key in whole.keys())


@pytest.mark.parametrize('options', [dict(window=4), dict(window=0), dict(connectivity=5), dict(max_regions=-1)])
def test_bad_options_are_told_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CentreOffsetProposer(TAXONOMY, **options)


def test_the_head_is_named():
    maps = Maps.known(Taxonomy.from_dict(TAXONOMY), labels=torch.zeros(1, 2, 2, dtype=torch.long))
    with pytest.raises(KeyError, match='no map .*nuclei.heat.* is its head in dense_heads'):
        CentreOffsetProposer(TAXONOMY, head='nuclei')(maps)


# ------------------------------------------------------------------------------------------------ in the network
@MODELS.register_module()
class ToyCentres(DenseHead):
    """The heat is the green of the picture, the vector's x ten times its blue."""

    kinds = {'heat': 'heat', 'vectors': 'vectors'}

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        x = 10 * features[:, 2:]
        return dict(heat=features[:, 1:2], vectors=torch.cat([x, torch.zeros_like(x)], 1))

    def loss(self, maps, data_samples) -> dict[str, Tensor]:
        return dict(loss_centres=maps['heat'].sum())


PROPOSER = dict(type='deepunetto_mm.CentreOffsetProposer', window=3, min_area=4)
# Two dogs that touch, and one that has no centre; by area, as they are found.
FOUND = [(9, 4, 18, 7, DOG), (2, 4, 9, 7, DOG), (2, 10, 6, 14, DOG)]
CENTRES = [(13, 5), (5, 5)]


def _network(tiny, **options):
    parts = dict(backbone=dict(type='deepunetto_mm.Oracle'), decode_head=dict(type='deepunetto_mm.ColourSegmentation'))
    heads = dict(centres=dict(type='deepunetto_mm.ToyCentres'))
    return tiny(**parts, dense_heads=heads, region_proposer=PROPOSER, **options).eval()


def _pointing(scene, boxes=FOUND, sign=1):
    picture, sample = scene(boxes, [0] * len(boxes))
    for (x1, y1, x2, y2, _), (x, y) in zip(boxes, CENTRES):
        picture[2, y1:y2, x1:x2] = sign * (x - torch.arange(x1, x2)) / 10
        picture[1, y, x] = 0.9
    return picture, sample


def test_touching_objects_come_apart_whichever_way_a_picture_goes(tiny, scene, mode):
    picture, sample = _pointing(scene)
    expected = sample.gt_region_map.data[0]
    with torch.no_grad():
        result = _network(tiny, test_cfg=mode).predict(picture[None], [sample])[0]
    assert torch.equal(result.pred_region_map.data[0].long(), expected)
    torch.testing.assert_close(result.pred_regions.bboxes, sample.gt_regions.bboxes)
    own = result.pred_regions.group_probs[:, 0]
    torch.testing.assert_close(result.pred_regions.scores, own * torch.tensor([0.9, 0.9, 0.1]))


def test_no_object_is_normal(tiny, scene, mode):
    picture, sample = _pointing(scene, [])
    with torch.no_grad():
        result = _network(tiny, test_cfg=mode).predict(picture[None], [sample])[0]
    assert len(result.pred_regions) == 0


def test_objects_at_the_border_and_beyond_it(tiny, scene):
    """A dog of which the left part is in sight: its pixels point out of the picture."""
    picture, sample = scene([(0, 4, 4, 7, DOG), (4, 4, 11, 7, DOG)], [0, 0])
    picture[2, 4:7, :4], picture[2, 4:7, 4:11] = -(torch.arange(4) + 2.0) / 10, (7.0 - torch.arange(4, 11)) / 10
    picture[1, 5, 0], picture[1, 5, 7] = 0.9, 0.9
    with torch.no_grad():
        result = _network(tiny).predict(picture[None], [sample])[0]
    # By area: the larger one first.
    assert result.pred_region_map.data[0, 5].tolist() == [2] * 4 + [1] * 7 + [0] * 9


def test_in_the_frame_of_an_original_of_twice_the_size(tiny, scene):
    picture, sample = _pointing(scene)
    expected = sample.gt_region_map.data[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    sample.set_metainfo(dict(ori_shape=(32, 40)))
    with torch.no_grad():
        result = _network(tiny).predict(picture[None], [sample])[0]
    assert torch.equal(result.pred_region_map.data[0].long(), expected)


@pytest.mark.parametrize(('direction', 'dim', 'sign'), [('horizontal', 2, -1), ('vertical', 1, 1)])
def test_views_are_averaged_in_the_frame_of_the_original(tiny, scene, direction, dim, sign):
    picture, sample = _pointing(scene)
    # In the other view, what the network paints is half as hot.
    flipped, other = _pointing(scene, sign=sign)
    flipped[1] /= 2
    other.set_metainfo(dict(flip=True, flip_direction=direction))
    expected = sample.gt_region_map.data[0]
    with torch.no_grad():
        result = DeepUNettoTTA(module=_network(tiny)).test_step(
            dict(inputs=[[picture], [flipped.flip(dim)]], data_samples=[[sample], [other]])
        )[0]
    assert torch.equal(result.pred_region_map.data[0].long(), expected)
    own = result.pred_regions.group_probs[:, 0]
    torch.testing.assert_close(result.pred_regions.scores, own * torch.tensor([0.675, 0.675, 0.1]))


def test_names_are_trained_on_the_regions_that_are_found(tiny, scene):
    picture, sample = _pointing(scene)
    model = _network(tiny, train_cfg=dict(regions='pred')).train()
    seen = []
    model.fine_branch.crop_neck.register_forward_pre_hook(lambda module, args: seen.append(args))
    model.loss(picture[None], [sample])
    (regions,), region_maps = seen[0][:2]
    assert torch.equal(region_maps[0].long(), sample.gt_region_map.data[0])
    assert regions.fine_labels.tolist() == [0, 0, 0]


def test_a_batch_equals_its_pictures(tiny, scene):
    items = [_pointing(scene), _pointing(scene, FOUND[:1]), _pointing(scene, [])]
    pictures, samples = torch.stack([item[0] for item in items]), [item[1] for item in items]
    model = _network(tiny)
    with torch.no_grad():
        together = model.predict(pictures, copy.deepcopy(samples))
        alone = [model.predict(picture[None], [sample])[0] for picture, sample in zip(pictures, samples)]
    for ours, other in zip(together, alone):
        assert torch.equal(ours.pred_region_map.data, other.pred_region_map.data)
        torch.testing.assert_close(ours.pred_regions.scores, other.pred_regions.scores)


def test_components_are_what_it_falls_back_to():
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (1, 20, 20))
    maps = Maps.known(
        Taxonomy.from_dict(TAXONOMY),
        {'centres.heat': torch.zeros(1, 1, 20, 20), 'centres.vectors': torch.zeros(1, 2, 20, 20)},
        KINDS,
        labels=labels,
        group_probs=torch.rand(1, 2, 20, 20),
    )
    for options in (
        dict(),
        dict(by_class=True, connectivity=4),
        dict(min_area=3, max_regions=5),
        dict(min_area=[9, 3]),
        dict(min_area=[9, 3], backend='torch'),
    ):
        (ours,), our_map = CentreOffsetProposer(TAXONOMY, **options)(maps)
        (other,), other_map = ConnectedComponentsProposer(TAXONOMY, **options)(maps)
        assert torch.equal(our_map, other_map)
        torch.testing.assert_close(ours.scores, 0.1 * other.scores)
