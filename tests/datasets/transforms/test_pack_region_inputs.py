import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from deepunetto_mm.datasets import LoadRegions, PackRegionInputs
from deepunetto_mm.ops import tabulate_regions
from deepunetto_mm.structures import Taxonomy

COUNT = 40
CLASSES = ['ground', *(f'c{i}' for i in range(1, COUNT + 1))]
#: Every class its own group, so that the region of a pixel follows from its class.
TAXONOMY = Taxonomy.from_dict(
    dict(classes=CLASSES, groups=[dict(name=c, members=[c], fine_classes=[f'fine {c}']) for c in CLASSES[1:]])
)
#: Ids that neither 8 nor 16 signed bits hold.
IDS = np.concatenate([[0], 1000 * np.arange(1, COUNT + 1)])


def _scene(height=61, width=83):
    """A mosaic of rectangles of random classes."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, COUNT + 1, (8, 9)).repeat(8, 0).repeat(10, 1)
    mask = blocks[:height, :width].astype(np.uint8)
    return dict(
        img=rng.integers(0, 255, (height, width, 3)).astype(np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        img_path='a.png',
        gt_seg_map=mask,
        gt_region_map=IDS[mask].astype(np.int32),
        seg_fields=['gt_seg_map', 'gt_region_map'],
        regions=dict(ids=IDS[1:], labels=np.arange(COUNT), fine_labels=np.arange(COUNT)),
        taxonomy=TAXONOMY,
    )


TRANSFORMS = dict(
    resize=dict(type='Resize', scale=(150, 97), keep_ratio=False),
    resize_keep_ratio=dict(type='Resize', scale=(50, 40), keep_ratio=True),
    random_resize=dict(type='RandomResize', scale=(100, 80), ratio_range=(0.5, 2.0), keep_ratio=True),
    choice_resize=dict(type='RandomChoiceResize', scales=[(40, 40), (120, 70)], keep_ratio=False),
    shortest_edge=dict(type='ResizeShortestEdge', scale=37, max_size=80),
    multiple=dict(type='ResizeToMultiple', size_divisor=32),
    rescale=dict(type='SegRescale', scale_factor=0.5),
    crop=dict(type='RandomCrop', crop_size=(30, 40), cat_max_ratio=0.75),
    flip=dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    diagonal=dict(type='RandomFlip', prob=1.0, direction='diagonal'),
    rotate=dict(type='RandomRotate', prob=1.0, degree=(20, 50), seg_pad_val=255),
    rotate_bound=dict(type='RandomRotate', prob=1.0, degree=(20, 50), auto_bound=True),
    cutout=dict(type='RandomCutOut', prob=1.0, n_holes=3, cutout_shape=(20, 10), seg_fill_in=255),
    cutout_as_ground=dict(type='RandomCutOut', prob=1.0, n_holes=3, cutout_shape=(20, 10), seg_fill_in=0),
    rot_flip=dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    colours=dict(type='PhotoMetricDistortion'),
)


@pytest.mark.parametrize('name', TRANSFORMS)
def test_region_map_moves_with_the_mask(mmseg_scope, name):
    expected = np.full(256, -1)
    expected[: COUNT + 1] = IDS
    expected[255] = 255
    transform, pack = Compose([TRANSFORMS[name]]), PackRegionInputs()
    for _ in range(3):
        moved = transform(_scene())
        assert moved['gt_region_map'].dtype == np.int32
        mask, region_map = moved['gt_seg_map'], moved['gt_region_map']
        apart = expected[mask] != region_map
        # Rotation rounds otherwise for 8 than for 32 bits, at boundaries.
        assert apart.mean() <= (2e-3 if 'rotate' in name else 0)

        sample = pack(moved)['data_samples']
        packed = sample.gt_region_map.data[0].numpy()
        assert sample.gt_region_map.shape == sample.gt_sem_seg.shape
        assert (packed[~apart] == expected[mask][~apart]).all()
        assert np.isin(packed[apart], [0, 255]).all()
        present = np.setdiff1d(packed, [0, 255])
        regions = sample.gt_regions
        assert regions.ids.tolist() == present.tolist()
        assert regions.fine_labels.tolist() == (present // 1000 - 1).tolist() == regions.labels.tolist()
        for index, box in zip(present, regions.bboxes.tolist(), strict=True):
            y, x = np.nonzero(packed == index)
            assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def _small(**changes):
    scene = _scene(4, 6)
    mask = np.array([[1, 1, 0, 0, 2, 255], [1, 0, 0, 0, 0, 255], [0, 0, 0, 0, 3, 3], [0, 0, 0, 0, 3, 3]], np.uint8)
    scene.update(gt_seg_map=mask, gt_region_map=np.where(mask == 255, 255, IDS[np.minimum(mask, 9)]).astype(np.int32))
    scene.update(changes)
    return scene


def test_regions_in_sight():
    scene = _small()
    scene['regions']['fine_labels'] = np.where(np.arange(COUNT) == 2, -1, np.arange(COUNT))
    packed = PackRegionInputs(min_area=2)(scene)
    sample = packed['data_samples']
    assert sample.gt_region_map.data.dtype == torch.int64
    assert sample.gt_region_map.data.tolist() == [
        [[1000, 1000, 0, 0, 0, 255], [1000, 0, 0, 0, 0, 255], [0, 0, 0, 0, 3000, 3000], [0, 0, 0, 0, 3000, 3000]]
    ]
    regions = sample.gt_regions
    assert regions.ids.tolist() == [1000, 3000]
    assert regions.labels.tolist() == [0, 2]
    assert regions.fine_labels.tolist() == [0, -1]
    assert regions.bboxes.tolist() == [[0, 0, 2, 2], [4, 2, 6, 4]]
    assert (regions.ids.dtype, regions.labels.dtype, regions.fine_labels.dtype, regions.bboxes.dtype) == (
        torch.int64,
        torch.int64,
        torch.int64,
        torch.float32,
    )
    assert packed['inputs'].shape == (3, 4, 6)
    assert sample.img_path == 'a.png'
    with pytest.raises(ValueError, match='min_area must be at least 1, got 0'):
        PackRegionInputs(min_area=0)


def test_no_region_in_sight():
    ground = _small(gt_seg_map=np.zeros((4, 6), np.uint8), gt_region_map=np.zeros((4, 6), np.int32))
    empty = dict(ids=np.zeros(0, np.int64), labels=np.zeros(0, np.int64), fine_labels=np.zeros(0, np.int64))
    for scene in (ground, dict(ground, regions=empty)):
        regions = PackRegionInputs()(scene)['data_samples'].gt_regions
        assert len(regions) == 0
        assert regions.bboxes.shape == (0, 4)


def test_inputs_are_not_changed():
    scene = _small()
    before = scene['gt_region_map'].copy()
    PackRegionInputs(min_area=2)(scene)
    assert (scene['gt_region_map'] == before).all()


def test_picture_without_mask_and_meta_keys():
    picture = dict(img=np.zeros((2, 3, 3), np.uint8), ori_shape=(2, 3))
    sample = PackRegionInputs(meta_keys=('ori_shape',))(picture)['data_samples']
    assert set(sample.metainfo) == {'ori_shape'}
    assert not sample.keys()


def test_errors():
    pack = PackRegionInputs()
    scene = _small()
    del scene['gt_region_map']
    with pytest.raises(ValueError, match='put deepunetto_mm.LoadRegions after LoadAnnotations'):
        pack(scene)
    with pytest.raises(ValueError, match=r'do not match.*shapes are \(4, 6\) and \(4, 5\)'):
        pack(_small(gt_region_map=np.zeros((4, 5), np.int32)))
    with pytest.raises(ValueError, match=r'the ids \[17\], which are not from LoadRegions'):
        pack(_small(gt_region_map=np.full((4, 6), 17, np.int32)))
    scene = _scene()
    scene['gt_seg_map'] = np.ascontiguousarray(scene['gt_seg_map'][:, ::-1])
    with pytest.raises(ValueError, match='Some transform changed only one of them'):
        pack(scene)


def test_interpolated_region_map_is_refused(mmseg_scope):
    """RandomRotFlip turns label maps bilinearly, which OpenCV refuses for 32 bits; better than ids between ids."""
    with pytest.raises(cv2.error):
        PackRegionInputs()(Compose([dict(type='RandomRotFlip', rotate_prob=1.0)])(_scene()))


def test_the_composed_map_is_packed_where_there_is_one():
    scene = _scene()
    assert 'gt_fine_seg' not in PackRegionInputs().transform(_scene())['data_samples']
    scene['gt_fine_map'] = scene['gt_seg_map'][::-1].copy()
    packed = PackRegionInputs().transform(scene)['data_samples'].gt_fine_seg.data
    assert (packed.dtype, packed.shape) == (torch.int64, (1, 61, 83))
    np.testing.assert_array_equal(packed[0], _scene()['gt_seg_map'][::-1])


def _loaded(mask):
    scene = dict(_scene(*mask.shape), gt_seg_map=mask, seg_fields=['gt_seg_map'], seg_map_path='a.png')
    return LoadRegions()({key: value for key, value in scene.items() if key not in ('gt_region_map', 'regions')})


def _untouched(scene):
    """A no-op that makes other arrays."""
    return {**scene, 'gt_seg_map': scene['gt_seg_map'].copy(), 'gt_region_map': scene['gt_region_map'].copy()}


def _cut_in_place(scene):
    for key in scene['seg_fields']:
        scene[key][:, :2] = 0
    return scene


def _ignored_in_place(scene):
    scene['gt_seg_map'][:, :2] = 255
    return scene


@pytest.mark.parametrize(
    ('transform', 'boxes', 'again'),
    [
        (lambda scene: scene, [[0, 0, 4, 1], [5, 1, 6, 3]], 0),
        (_untouched, [[0, 0, 4, 1], [5, 1, 6, 3]], 0),
        (_cut_in_place, [[2, 0, 4, 1], [5, 1, 6, 3]], 1),
        (_ignored_in_place, [[2, 0, 4, 1], [5, 1, 6, 3]], 1),
        (Compose([dict(type='mmseg.RandomFlip', prob=1.0)]), [[2, 0, 6, 1], [0, 1, 1, 3]], 1),
    ],
)
def test_the_loaders_table_serves_as_long_as_the_maps_are_the_same(monkeypatch, transform, boxes, again):
    calls = []
    monkeypatch.setattr(
        'deepunetto_mm.datasets.transforms.pack_region_inputs.tabulate_regions',
        lambda region_map: calls.append(1) or tabulate_regions(region_map),
    )
    mask = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 2]], np.uint8)
    scene = transform(_loaded(mask))
    regions = PackRegionInputs()(scene)['data_samples'].gt_regions
    assert regions.bboxes.tolist() == boxes
    assert (regions.ids.tolist(), regions.labels.tolist()) == ([1, 2], [0, 1])
    assert len(calls) == again
    # And the areas: the second region has 2 pixels, the first 4, or 2 of them in sight.
    kept = PackRegionInputs(min_area=3)(scene)['data_samples'].gt_regions
    assert len(kept) == (0 if boxes[0][0] == 2 and boxes[0][2] == 4 else 1)


def test_a_mask_that_alone_was_moved_is_refused_after_loading():
    scene = _loaded(_scene()['gt_seg_map'])
    PackRegionInputs()(dict(scene))
    with pytest.raises(ValueError, match='Some transform changed only one of them'):
        PackRegionInputs()(dict(scene, gt_seg_map=scene['gt_seg_map'][:, ::-1].copy()))


def test_maps_of_a_transform_of_ones_own_are_packed():
    scene = _scene()
    depth = np.arange(scene['gt_seg_map'].size).reshape(scene['gt_seg_map'].shape)
    scene.update(gt_depth_map=depth, target_maps=dict(gt_depth_map='AddDepth'))
    packed = PackRegionInputs()(dict(scene))['data_samples'].gt_depth_map.data
    assert packed.dtype == torch.float32
    assert packed.tolist() == [depth.tolist()]
    scene['gt_depth_map'] = depth[:, 1:]
    with pytest.raises(ValueError, match='gt_depth_map is .* put AddDepth after all transforms that move pixels'):
        PackRegionInputs()(scene)
