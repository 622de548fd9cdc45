from functools import partial

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from scipy import ndimage
from skimage.measure import regionprops

from deepunetto_mm.utils import region_maps
from deepunetto_mm.utils.region_maps import (
    PADDING_ID,
    STRIP_PIXELS,
    connected_regions,
    encode_masks,
    number_regions,
    row_strips,
    tabulate_regions,
    touching_regions,
    without_padding,
)

#: Classes 1 and 2 make up group 0, class 3 is group 1.
GROUPS = (-1, 0, 0, 1)
#         an L of classes 1 and 2, a diagonal neighbour of class 1 and a bar of class 3 that touches the L
MASK = np.array([[1, 0, 0, 0, 0],
                 [1, 2, 3, 3, 0],
                 [0, 0, 0, 0, 255],
                 [0, 1, 0, 0, 0]], np.uint8)  # yapf: disable


@pytest.fixture(params=['cv2', 'cc3d'])
def backend(request):
    if request.param == 'cc3d':
        pytest.importorskip('cc3d')
    return request.param


def test_by_hand(backend):
    table = connected_regions(MASK, GROUPS, backend=backend)
    assert len(table) == 3
    assert table.region_map.tolist() == [[1, 0, 0, 0, 0], [1, 1, 2, 2, 0], [0, 0, 0, 0, 0], [0, 3, 0, 0, 0]]
    assert table.region_map.dtype == np.int32
    assert (table.ids.tolist(), table.labels.tolist(), table.areas.tolist()) == ([1, 2, 3], [0, 1, 0], [3, 2, 1])
    assert table.bboxes.tolist() == [[0, 0, 2, 2], [2, 1, 4, 2], [1, 3, 2, 4]]
    assert (table.ids.dtype, table.labels.dtype, table.areas.dtype) == (np.int64, np.int64, np.int64)
    assert table.bboxes.dtype == np.float32


def test_connectivity(backend):
    mask = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    assert connected_regions(mask, GROUPS, connectivity=8, backend=backend).areas.tolist() == [3]
    four = connected_regions(mask, GROUPS, connectivity=4, backend=backend)
    assert four.region_map.tolist() == [[1, 0, 2], [0, 3, 0]]


def test_equal_areas_are_ordered_by_their_first_pixel(backend):
    """Across groups as well: OpenCV meets the groups one after the other, cc3d pixel by pixel."""
    mask = np.array([[3, 0, 1, 0, 3, 0, 2]], np.uint8)
    table = connected_regions(mask, GROUPS, backend=backend)
    assert table.region_map.tolist() == [[1, 0, 2, 0, 3, 0, 4]]
    assert table.labels.tolist() == [1, 0, 1, 0]


def test_min_area_and_max_regions(backend):
    assert connected_regions(MASK, GROUPS, min_area=2, backend=backend).areas.tolist() == [3, 2]
    largest = connected_regions(MASK, GROUPS, max_regions=1, backend=backend)
    assert largest.region_map.tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert largest.bboxes.tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize(('size', 'label'), [((3, 4), 0), ((3, 4), 255), ((0, 4), 0)])
def test_no_regions(backend, size, label):
    mask = np.full(size, label, np.uint8)
    table = connected_regions(mask, GROUPS, backend=backend)
    assert len(table) == 0
    assert table.bboxes.shape == (0, 4)
    assert table.labels.shape == table.areas.shape == (0,)
    assert table.region_map.shape == mask.shape
    assert not table.region_map.any()


def test_no_groups(backend):
    assert len(connected_regions(MASK, (-1, -1, -1, -1), backend=backend)) == 0


def test_labels_beyond_the_table_and_below_zero_are_no_region(backend):
    assert len(connected_regions(np.array([[-1, 4, 1000]], np.int64), GROUPS, backend=backend)) == 0


def test_more_than_254_regions(backend):
    """A board of 30x20 squares: 300 regions, of which none is 255."""
    board = (np.indices((20, 30)).sum(0) % 2).astype(np.uint8)
    table = connected_regions(board, GROUPS, connectivity=4, backend=backend)
    assert len(table) == 300
    assert PADDING_ID not in table.ids
    assert table.ids[-1] == 301
    assert table.region_map.max() == 301
    ids, boxes, areas = tabulate_regions(table.region_map)
    assert ids.tolist() == table.ids.tolist()
    assert boxes.tolist() == table.bboxes.tolist()
    assert areas.tolist() == table.areas.tolist()


@pytest.mark.parametrize('connectivity', [4, 8])
@pytest.mark.parametrize('seed', range(5))
def test_equals_scipy(backend, connectivity, seed):
    rng = np.random.default_rng(seed)
    mask = rng.choice([0, 1, 2, 3, 255], (40, 50), p=[0.4, 0.2, 0.1, 0.25, 0.05]).astype(np.uint8)
    table = connected_regions(mask, GROUPS, connectivity=connectivity, backend=backend)
    structure = np.ones((3, 3)) if connectivity == 8 else None
    expected = []
    for group, members in enumerate([(1, 2), (3,)]):
        labels, _ = ndimage.label(np.isin(mask, members), structure)
        for region in regionprops(labels):
            y1, x1, y2, x2 = region.bbox
            first = np.flatnonzero(labels == region.label)[0]
            expected.append((-int(region.area), int(first), group, [x1, y1, x2, y2], labels == region.label))
    expected.sort(key=lambda region: region[:2])
    assert (-table.areas).tolist() == [region[0] for region in expected]
    assert table.labels.tolist() == [region[2] for region in expected]
    assert table.bboxes.tolist() == [region[3] for region in expected]
    for index, region in zip(table.ids, expected, strict=True):
        assert ((table.region_map == index) == region[4]).all()


@pytest.mark.parametrize('connectivity', [4, 8])
@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_backends_agree(connectivity, dtype):
    pytest.importorskip('cc3d')
    rng = np.random.default_rng(0)
    for size in ((1, 1), (1, 60), (37, 53)):
        mask = rng.integers(0, 5, size).astype(dtype)
        one, other = (connected_regions(mask, GROUPS, connectivity, 2, 40, backend=name) for name in ('cv2', 'cc3d'))
        for field in ('region_map', 'ids', 'labels', 'bboxes', 'areas'):
            assert getattr(one, field).dtype == getattr(other, field).dtype
            assert (getattr(one, field) == getattr(other, field)).all()


def test_not_contiguous_input(backend):
    wide = np.repeat(MASK, 2, axis=1)
    assert (
        connected_regions(wide[:, ::2], GROUPS, backend=backend).region_map
        == connected_regions(MASK, GROUPS, backend=backend).region_map
    ).all()


def test_split_is_asked_about_every_component_and_its_parts_are_regions(backend):
    asked, limits = [], set()

    def by_columns(part, window, least):
        assert part.shape == mask[window].shape
        limits.add(least)
        asked.append(part.tolist())
        return np.where(part, np.arange(1, part.shape[1] + 1), 0)

    #            a U of group 0 around a bar of group 1, whose box is within that of the U
    mask = np.array([[1, 0, 2], [1, 3, 2], [1, 1, 1], [0, 0, 0], [1, 0, 3]], np.uint8)
    table = connected_regions(mask, GROUPS, min_area=1, backend=backend, split=by_columns)
    assert table.region_map.tolist() == [[1, 0, 2], [1, 3, 2], [1, 4, 2], [0, 0, 0], [5, 0, 6]]
    assert (table.labels.tolist(), table.areas.tolist()) == ([0, 0, 1, 0, 0, 1], [3, 3, 1, 1, 1, 1])
    assert table.bboxes.tolist()[:4] == [[0, 0, 1, 3], [2, 0, 3, 3], [1, 1, 2, 2], [1, 2, 2, 3]]
    assert sorted(asked) == [[[True]], [[True]], [[True]], [[True, False, True], [True, False, True], [True] * 3]]
    # Components below the area are not asked about, parts below it are left out.
    asked.clear()
    assert connected_regions(mask, GROUPS, min_area=2, backend=backend, split=by_columns).areas.tolist() == [3, 3]
    assert len(asked) == 1
    assert connected_regions(mask, GROUPS, max_regions=1, backend=backend, split=by_columns).areas.tolist() == [3]
    # Each group has its own limit: of group 0 the U of seven pixels, of group 1 two single ones.
    asked.clear()
    limits.clear()
    table = connected_regions(mask, GROUPS, min_area=[2, 1], backend=backend, split=by_columns)
    assert list(zip(table.labels.tolist(), table.areas.tolist())) == [(0, 3), (0, 3), (1, 1), (1, 1)]
    assert (len(asked), limits) == (3, {1, 2})


def test_parts_may_have_any_numbers(backend):
    table = connected_regions(MASK, GROUPS, min_area=[1, 1], backend=backend, split=lambda mask, *_: 3 * mask)
    assert table.areas.tolist() == connected_regions(MASK, GROUPS, backend=backend).areas.tolist()


def test_split_into_one_changes_nothing(backend):
    whole = connected_regions(MASK, GROUPS, backend=backend, split=lambda mask, *_: mask.astype(np.uint8))
    plain = connected_regions(MASK, GROUPS, backend=backend)
    for field in ('region_map', 'ids', 'labels', 'bboxes', 'areas'):
        assert getattr(whole, field).dtype == getattr(plain, field).dtype
        assert getattr(whole, field).tolist() == getattr(plain, field).tolist()
    empty = connected_regions(np.zeros((3, 4), np.uint8), GROUPS, backend=backend, split=lambda *_: 1 / 0)
    assert len(empty) == 0


def test_errors():
    with pytest.raises(ValueError, match=r'a label map must have shape \(H, W\), got \(1, 4, 5\)'):
        connected_regions(MASK[None], GROUPS)
    with pytest.raises(ValueError, match='connectivity must be 4 or 8, got 6'):
        connected_regions(MASK, GROUPS, connectivity=6)
    with pytest.raises(ValueError, match="backend must be 'cv2' or 'cc3d', got 'scipy'"):
        connected_regions(MASK, GROUPS, backend='scipy')
    with pytest.raises(ValueError, match='max_regions must be at least 0, or None for all, got -1'):
        connected_regions(MASK, GROUPS, max_regions=-1)


def test_a_backend_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr('deepunetto_mm.utils.region_maps.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='connected-components-3d'):
        connected_regions(MASK, GROUPS, backend='cc3d')
    assert len(connected_regions(MASK, GROUPS)) > 0  # by OpenCV


def test_number_regions():
    assert number_regions(0).tolist() == []
    assert number_regions(3).tolist() == [1, 2, 3]
    assert number_regions(256)[252:].tolist() == [253, 254, 256, 257]


def test_tabulate_regions():
    """Ids need not be compact, and 255 is padding."""
    region_map = np.array([[0, 7, 7], [255, 7, 60000]], np.int64)
    ids, boxes, areas = tabulate_regions(region_map)
    assert (ids.tolist(), boxes.tolist(), areas.tolist()) == ([7, 60000], [[1, 0, 3, 2], [2, 1, 3, 2]], [3, 1])
    assert (ids.dtype, boxes.dtype, areas.dtype) == (np.int64, np.float32, np.int64)
    for empty in (np.zeros((2, 3), np.int32), np.full((2, 3), 255, np.uint8)):
        ids, boxes, areas = tabulate_regions(empty)
        assert (ids.shape, boxes.shape, areas.shape) == ((0,), (0, 4), (0,))


def test_tabulate_regions_of_ids_beyond_16_bits():
    """A table by id would take 16 GB."""
    for region_map in (np.array([[0, 255, 2**31 - 1], [7, 7, 7]]), np.array([[255, 255, 2**31 - 1], [7, 7, 7]])):
        ids, boxes, areas = tabulate_regions(region_map)
        assert (ids.tolist(), areas.tolist()) == ([7, 2**31 - 1], [3, 1])
        assert boxes.tolist() == [[0, 1, 3, 2], [2, 0, 3, 1]]


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_without_padding(dtype):
    region_map = np.array([[0, 1, 255], [255, 254, 0]], dtype)
    for result in (without_padding(region_map), without_padding(torch.from_numpy(region_map)).numpy()):
        assert result.tolist() == [[0, 1, 0], [0, 254, 0]]
        assert result.dtype == dtype


@pytest.mark.parametrize(
    ('height', 'width', 'pixels', 'expected'),
    [
        (5, 3, 6, [(0, 2), (2, 4), (4, 5)]),
        (4, 3, 6, [(0, 2), (2, 4)]),
        (2, 9, 6, [(0, 1), (1, 2)]),  # no strip is thinner than a row
        (3, 0, 6, [(0, 3)]),
        (0, 3, 6, []),
    ],
)
def test_strips_cover_each_row_once(height, width, pixels, expected):
    assert [(rows.start, rows.stop) for rows in row_strips(height, width, pixels)] == expected


def test_a_picture_of_cityscapes_is_one_strip():
    assert list(row_strips(1024, 2048)) == [slice(0, 1024)]
    assert STRIP_PIXELS == 1024 * 2048


@pytest.mark.parametrize('backend', ['cv2', 'cc3d'])
@pytest.mark.parametrize('pixels', [1, 61, 7 * 60])
def test_regions_in_strips(monkeypatch, backend, pixels):
    if backend == 'cc3d':
        pytest.importorskip('cc3d')
    label_map = np.random.default_rng(0).integers(0, 3, (40, 60))
    at_once = connected_regions(label_map, [-1, 0, 1], backend=backend)
    monkeypatch.setattr(region_maps, 'row_strips', partial(row_strips, pixels=pixels))
    in_strips = connected_regions(label_map, [-1, 0, 1], backend=backend)
    assert len(at_once) > 20
    for field in ('region_map', 'ids', 'labels', 'bboxes', 'areas'):
        assert np.array_equal(getattr(in_strips, field), getattr(at_once, field)), field


def test_masks_decode_to_the_regions():
    generator = np.random.default_rng(0)
    region_map = generator.choice([0, 1, 9, 300, 255], (37, 53)).astype(np.int64)
    masks = encode_masks(region_map, np.array([300, 1, 9]))
    for region_id, mask in zip([300, 1, 9], masks):
        assert mask['size'] == [37, 53]
        np.testing.assert_array_equal(coco_mask.decode(mask), region_map == region_id)


@pytest.mark.parametrize('region_id', [0, 5])
def test_masks_of_all_pixels_and_of_none(region_id):
    (mask,) = encode_masks(np.full((3, 4), region_id), np.array([5]))
    np.testing.assert_array_equal(coco_mask.decode(mask), np.full((3, 4), region_id == 5))


def test_no_regions_no_masks():
    assert encode_masks(np.zeros((3, 4), int), np.zeros(0, int)) == []


def test_codes_are_those_of_pycocotools():
    """Of runs of one to 2^15 pixels, of all differences, and of masks that reach the last pixel and that do not."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        bits = np.repeat(np.arange(9) % 2, (2 ** generator.uniform(0, 15, 9)).astype(int)).astype(np.uint8)
        mask = bits[:, None] if generator.random() < 0.5 else 1 - bits[None]
        (code,) = encode_masks(mask, [1])
        assert code['counts'] == coco_mask.encode(np.asfortranarray(mask))['counts'].decode()


def test_negative_ids_are_refused():
    with pytest.raises(ValueError, match='region ids are at least 0, .* this map has -3'):
        tabulate_regions(np.array([[0, -3]]))


def test_touching_regions():
    regions = np.array([[1, 0, 2, 2], [1, 0, 0, 0], [0, 0, 0, 9], [3, 0, 0, 0]])
    assert touching_regions(regions) == {(1, 2), (1, 3), (2, 9)}
    assert touching_regions(np.zeros((1, 1), int)) == set()
