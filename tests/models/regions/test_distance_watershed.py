from typing import Optional

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from deepunetto_mm.models import ConnectedComponentsProposer, DistanceWatershed
from deepunetto_mm.ops import PADDING_ID
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = dict(
    classes=['sky', 'cytoplasm', 'nucleus', 'dog'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['a', 'b']),
        dict(name='dog', members=['dog'], fine_classes=['poodle']),
    ],
)


def _disks(*disks, margin=2):
    """The union of disks, each given as its centre x, y and its radius; cut at the origin, which is the first pixel."""
    width, height = (int(max(disk[k] + disk[2] for disk in disks)) + 1 + margin for k in (0, 1))
    y, x = np.mgrid[:height, :width]
    return np.any([(x - cx) ** 2 + (y - cy) ** 2 <= r**2 for cx, cy, r in disks], axis=0)


def _bars(*boxes):
    """The union of boxes x1, y1, x2, y2."""
    mask = np.zeros((max(box[3] for box in boxes) + 1, max(box[2] for box in boxes) + 1), bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def _rotated(height, width, angle, kind):
    """A rectangle or an ellipse, of so many pixels before it was turned."""
    half = int(np.hypot(height, width) / 2) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind == 'ellipse':
        return (2 * u / width) ** 2 + (2 * v / height) ** 2 <= 1
    return (abs(u) <= width / 2) & (abs(v) <= height / 2)


def _partition(parts):
    """The parts, whatever their numbers."""
    return {frozenset(np.flatnonzero(parts == index).tolist()) for index in np.unique(parts[parts > 0])}


def _count(mask, **options):
    parts = DistanceWatershed(**options)(mask)
    assert parts.shape == mask.shape
    assert parts.dtype == np.int32
    assert ((parts > 0) == mask).all()
    assert np.unique(parts[mask]).tolist() == list(range(1, parts.max() + 1))
    return parts.max()


@pytest.mark.parametrize('radius', [8, 12, 25, 60])
def test_two_disks_are_cut_in_exact_halves(radius):
    """Their centres an odd number of pixels apart, no pixel is on the line between them."""
    apart = int(1.75 * radius) | 1
    mask = _disks((radius + 1, radius + 1, radius), (radius + 1 + apart, radius + 1, radius))
    x = np.arange(mask.shape[1])[None]
    left, right = mask & (x <= radius + 1 + apart // 2), mask & (x > radius + 1 + apart // 2)
    parts = DistanceWatershed()(mask)
    assert _partition(parts) == _partition(left + 2 * right)
    assert left.sum() == right.sum()
    # The proposer gives both an id.
    regions, maps = ConnectedComponentsProposer(TAXONOMY, splitter=dict(type='deepunetto_mm.DistanceWatershed'))(
        _maps(torch.from_numpy(mask.astype(np.int64))[None])
    )
    assert regions[0].areas.tolist() == [left.sum(), right.sum()]
    assert maps[0].tolist() == (left + 2 * right).tolist()


@pytest.mark.parametrize('radius', [10, 20, 40, 80])
@pytest.mark.parametrize('neck_ratio', [0.6, 0.8])
def test_how_far_apart_two_disks_must_be(radius, neck_ratio):
    """By Pythagoras, with the pixel: the neck's radius + 1 is neck_ratio times that of the disks."""
    apart = 2 * np.sqrt(radius**2 - (neck_ratio * radius - 1) ** 2)
    for distance, number in ((apart - 2, 1), (apart + 2, 2)):
        mask = _disks((radius + 1, radius + 1, radius), (radius + 1 + round(distance), radius + 1, radius))
        assert _count(mask, neck_ratio=neck_ratio) == number


def test_a_dumbbell_is_cut_in_its_handle():
    mask = _bars((0, 0, 11, 11), (11, 4, 20, 7), (20, 0, 31, 11))
    parts = DistanceWatershed()(mask)
    assert parts.max() == 2
    assert len(np.unique(parts[:11, :11])) == len(np.unique(parts[:11, 20:31][mask[:11, 20:31]])) == 1
    assert parts[5, 5] != parts[5, 25]
    # A handle as wide as it must be to hold them together: 0.7 * 6 - 1 = 3.2, and its radius is 4.
    assert _count(_bars((0, 0, 11, 11), (11, 2, 20, 9), (20, 0, 31, 11))) == 1
    # 3 is less.
    assert _count(_bars((0, 0, 11, 11), (11, 3, 20, 8), (20, 0, 31, 11))) == 2


def test_touching_squares_of_different_size():
    mask = _bars((0, 0, 40, 40), (40, 14, 52, 26))
    # The wider one's side is no neck: what counts is the smaller part's radius, 6; the neck has the same.
    assert _count(mask) == 1
    mask[14:18, 39] = mask[22:26, 39] = False  # 4 pixels are left between them
    mask[14:18, 40] = mask[22:26, 40] = False
    parts = DistanceWatershed()(mask)
    assert parts.max() == 2
    small = parts == parts[20, 46]
    assert small[:, 41:].sum() == mask[:, 41:].sum()
    assert not small[:, :39].any()


def test_a_small_disk_at_a_large_one():
    mask = _disks((31, 31, 30), (70, 31, 10))  # they overlap by 1 pixel
    parts = DistanceWatershed()(mask)
    assert parts.max() == 2
    # The line through the points where the outlines meet, at x = 31 + (39² + 30² - 10²) / (2 · 39) = 60.76
    x = np.arange(mask.shape[1])[None]
    assert _partition(parts) == _partition((mask & (x <= 60)) + 2 * (mask & (x > 60)))


def test_four_in_a_row():
    centres = [13 + 21 * k for k in range(4)]
    mask = _disks(*((x, 13, 12) for x in centres))
    parts = DistanceWatershed()(mask)
    assert parts.max() == 4
    assert len({parts[13, x] for x in centres}) == 4
    areas = sorted(np.bincount(parts.ravel())[1:])
    assert areas[0] == areas[1] < areas[2] == areas[3]  # the inner ones are cut on both sides
    x = np.arange(mask.shape[1])[None]
    expected = sum((k + 1) * (mask & (x > cx - 11) & (x < cx + 11)) for k, cx in enumerate(centres))
    agree = (parts > 0) & (expected > 0)
    assert _partition(np.where(agree, parts, 0)) == _partition(np.where(agree, expected, 0))


@pytest.mark.parametrize('kind', ['rectangle', 'ellipse'])
@pytest.mark.parametrize('neck_ratio', [0.5, 0.8, 0.99])
def test_convex_shapes_stay_whole(kind, neck_ratio):
    """At any scale, angle and length, thin ones too."""
    rng = np.random.default_rng(0)
    for _ in range(150):
        height = np.exp(rng.uniform(np.log(1.5), np.log(40)))
        mask = _rotated(height, height * rng.uniform(1, 5), rng.uniform(0, np.pi), kind)
        assert _count(mask, neck_ratio=neck_ratio) == 1


@pytest.mark.parametrize('radius', [6, 8, 13, 20, 40])
def test_rings_and_crosses_stay_whole(radius):
    y, x = np.mgrid[-50:51, -50:51]
    distance = np.hypot(x, y)
    assert _count((distance <= 1.15 * radius) & (distance >= 0.6 * radius)) == 1
    for angle in np.linspace(0, np.pi / 4, 4):
        u, v = abs(x * np.cos(angle) + y * np.sin(angle)), abs(y * np.cos(angle) - x * np.sin(angle))
        assert _count((np.maximum(u, v) <= 1.2 * radius) & (np.minimum(u, v) <= 0.48 * radius)) == 1


def test_two_rings_that_touch_are_two():
    y, x = np.mgrid[:70, :130]
    left, right = (np.hypot(x - cx, y - 35) for cx in (32, 95))
    mask = ((left <= 31) & (left >= 17)) | ((right <= 31) & (right >= 17))
    parts = DistanceWatershed()(mask)
    assert _partition(parts) == _partition((mask & (x <= 63)) + 2 * (mask & (x > 63)))


@pytest.mark.parametrize('scale', [1, 2, 4, 8])
def test_small_and_large_are_cut_alike(scale):
    three, two = _disks((11, 11, 10), (30, 11, 10), (30, 27, 6)), _disks((11, 11, 10), (30, 11, 10), (30, 18, 6))
    assert _count(np.kron(three, np.ones((scale, scale), bool))) == 3
    assert _count(np.kron(two, np.ones((scale, scale), bool))) == 2


def _scene(seed):
    """Disks strewn over (100, 100) pixels."""
    rng = np.random.default_rng(seed)
    disks = [(rng.uniform(10, 90), rng.uniform(10, 90), rng.uniform(5, 14)) for _ in range(14)]
    return _disks((98, 98, 1), *disks)[:100, :100]


def _scattered(seed):
    components, _ = ndimage.label(_scene(seed))
    return [components[window] == k + 1 for k, window in enumerate(ndimage.find_objects(components))]


@pytest.mark.parametrize('seed', range(4))
def test_flips_move_the_parts_with_the_picture(seed):
    """The same number of parts; pixels as far from one as from the other go by reading order."""
    for mask in _scattered(seed):
        parts = DistanceWatershed()(mask)
        for axes in ((0,), (1,), (0, 1)):
            flipped = np.flip(DistanceWatershed()(np.flip(mask, axes)), axes)
            assert flipped.max() == parts.max()
            overlaps = np.zeros((parts.max() + 1,) * 2, int)
            np.add.at(overlaps, (parts[mask], flipped[mask]), 1)
            assert overlaps.max(axis=0).sum() == overlaps.max(axis=1).sum()
            assert overlaps.max(axis=1).sum() > 0.95 * mask.sum()


def test_is_deterministic_and_indifferent_to_margins():
    for mask in _scattered(7):
        parts = DistanceWatershed()(mask)
        assert (DistanceWatershed()(mask) == parts).all()
        assert (DistanceWatershed()(np.pad(mask, 5))[5:-5, 5:-5] == parts).all()
        before = mask.copy()
        DistanceWatershed()(mask)
        assert (mask == before).all()


def test_small_parts_are_given_back():
    mask = _bars((0, 0, 30, 30), (30, 14, 31, 16), (31, 11, 39, 19))  # a square, two pixels, a square of 64
    areas = np.bincount(DistanceWatershed()(mask).ravel())[1:]
    assert sorted(areas) == [65, 901] or sorted(areas) == [66, 900] or sorted(areas) == [64, 902]
    assert _count(mask, min_area=64) == 2
    assert _count(mask, min_area=67) == 1
    # Of three, the smallest goes to its neighbour, and the other two are kept.
    three = _bars((0, 0, 30, 30), (30, 14, 31, 16), (31, 11, 39, 19), (39, 14, 40, 16), (40, 0, 70, 30))
    assert _count(three) == 3
    assert _count(three, min_area=100) == 2
    assert _count(three, min_area=1100) == 1


def test_bits_and_nothing():
    for shape in ((0, 0), (1, 1), (3, 5)):
        assert not DistanceWatershed()(np.zeros(shape, bool)).any()
        assert (DistanceWatershed()(np.ones(shape, bool)) == 1).all()


@pytest.mark.parametrize('neck_ratio', [0, 1, -0.5, 70])
def test_bad_ratio(neck_ratio):
    with pytest.raises(ValueError, match=f'neck_ratio is above 0 and below 1, got {neck_ratio}'):
        DistanceWatershed(neck_ratio)


def test_without_scikit_image(monkeypatch):
    monkeypatch.setattr('deepunetto_mm.models.regions.distance_watershed.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='needs the package scikit-image'):
        DistanceWatershed()


def _maps(label_maps: torch.Tensor, group_probs: Optional[torch.Tensor] = None) -> Maps:
    probs = torch.ones(len(label_maps), 2, *label_maps.shape[1:]) if group_probs is None else group_probs
    return Maps.known(Taxonomy.from_dict(TAXONOMY), labels=label_maps, group_probs=probs)


def _proposer(**options):
    return ConnectedComponentsProposer(TAXONOMY, splitter=dict(type='deepunetto_mm.DistanceWatershed'), **options)


def test_ids_go_by_size_and_never_are_the_padding():
    """280 pairs of touching squares, a pair being one component: 560 regions, and 255 is not among them."""
    pair = np.zeros((9, 18), np.int64)
    pair[1:8, 1:8] = pair[1:8, 9:16] = pair[4, 8] = 1
    label_map = torch.from_numpy(np.tile(pair, (14, 20)))[None]
    assert len(ConnectedComponentsProposer(TAXONOMY)(_maps(label_map))[0][0]) == 280
    regions, maps = _proposer()(_maps(label_map))
    ids = regions[0].ids.tolist()
    assert len(ids) == 560
    assert PADDING_ID not in ids
    assert ids == sorted(ids) == maps.unique().tolist()[1:]
    assert regions[0].areas.tolist() == [50] * 280 + [49] * 280
    assert regions[0].scores.tolist() == [1.0] * 560
    for index, box in zip(ids[::50], regions[0].bboxes.long().tolist()[::50]):
        y, x = np.nonzero((maps[0] == index).numpy())
        assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    # The largest are kept, parts like others.
    kept = _proposer(max_regions=3)(_maps(label_map))
    assert kept[0][0].ids.tolist() == [1, 2, 3]
    assert (kept[1] == torch.where(maps <= 3, maps, 0)).all()


def test_groups_are_cut_each_by_itself_and_members_together():
    label_map = torch.zeros(1, 20, 64, dtype=torch.int64)
    label_map[0, 2:13, 2:13], label_map[0, 5:9, 5:9] = 1, 2  # a cell with its nucleus
    label_map[0, 6:8, 13:14] = 1
    label_map[0, 2:13, 14:25] = 1  # one that touches
    label_map[0, 2:13, 25:36] = 3  # a dog that touches both of a kind: no matter
    regions, _ = _proposer()(_maps(label_map))
    assert regions[0].labels.tolist() == [0, 0, 1]
    assert sorted(regions[0].areas.tolist()) == [121, 121, 123]


def test_batch_equals_one_by_one():
    label_maps = torch.zeros(4, 100, 100, dtype=torch.int64)  # the last one is empty
    for i in range(3):
        label_maps[i][torch.from_numpy(_scene(i))] = 1 + i
    inputs = _maps(label_maps, torch.rand(4, 2, 100, 100))
    proposer = _proposer(min_area=30)
    together, maps = proposer(inputs)
    assert len(together[0]) > 1
    assert len(together[3]) == 0
    for i in range(4):
        alone, alone_map = proposer(inputs.select([i]))
        assert torch.equal(alone_map[0], maps[i])
        assert all(torch.equal(alone[0][key], together[i][key]) for key in alone[0].keys())


def test_the_proposers_minimum_area_holds_for_parts():
    mask = _bars((0, 0, 30, 30), (30, 14, 31, 16), (31, 11, 39, 19))
    inputs = _maps(torch.from_numpy(mask.astype(np.int64))[None])
    assert _proposer(min_area=60)(inputs)[0][0].areas.sum() == mask.sum()
    assert len(_proposer(min_area=60)(inputs)[0][0]) == 2
    # Given back, and not left out.
    assert _proposer(min_area=100)(inputs)[0][0].areas.tolist() == [mask.sum()]
    # The limit of its own group decides, not the least one.
    for least, count in (([60, 100], 2), ([100, 60], 1)):
        areas = _proposer(min_area=least)(inputs)[0][0].areas
        assert (len(areas), areas.sum()) == (count, mask.sum())
    own = dict(type='deepunetto_mm.DistanceWatershed', min_area=10)
    proposer = ConnectedComponentsProposer(TAXONOMY, min_area=100, splitter=own)
    assert proposer(inputs)[0][0].areas.tolist() in ([900], [901], [902])


def test_nothing_in_the_checkpoint():
    assert not _proposer().state_dict()


@pytest.fixture(scope='module')
def cells(real_data):
    """Real outlines: white blood cells, one in a picture, are neither disks nor all convex."""
    files = sorted((real_data / 'wbc1' / 'masks').rglob('*.png'))
    if not files:
        pytest.skip('no wbc1 in the real data')
    found = {}
    for file in files:
        components, _ = ndimage.label(np.asarray(Image.open(file)) > 0, np.ones((3, 3)))
        found[file] = components == np.bincount(components.ravel())[1:].argmax() + 1
    return found


@pytest.mark.parametrize('neck_ratio', [0.5, 0.7, 0.9])
def test_single_cells_stay_whole(cells, neck_ratio):
    assert len(cells) == 242
    splitter = DistanceWatershed(neck_ratio=neck_ratio)
    for file, cell in cells.items():
        assert splitter(cell).max() == 1, file
