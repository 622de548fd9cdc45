import re

import numpy as np
import pytest
import tifffile
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset

from deepunetto_mm.datasets import DataError, LoadRegions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['sky', 'body', 'head', 'car'],
        groups=[
            dict(name='human', members=['body', 'head'], fine_classes=['walker', 'rider']),
            dict(name='vehicle', members=['car'], fine_classes=['bus']),
        ],
    )
)
#          a human of 5 pixels,   one of 1, a car of 3 that touches the first
MASK = np.array([[0, 2, 0, 0, 0, 255],
                 [1, 1, 1, 0, 1, 255],
                 [0, 1, 3, 3, 3, 0]], np.uint8)  # yapf: disable


def _results(mask=MASK, names=None, **more):
    return dict(
        img_path='images/a.png',
        seg_map_path='masks/a.png',
        gt_seg_map=mask,
        ori_shape=mask.shape[:2],
        seg_fields=['gt_seg_map'],
        taxonomy=TAXONOMY,
        region_names=names,
        **more,
    )


@pytest.fixture
def with_map(tiny):

    def results(region_map, names=None, mask=MASK):
        return _results(mask, names, region_map_path=tiny.write('regions/a.png', np.asarray(region_map)))

    return results


def _regions(results):
    return {key: value.tolist() for key, value in results['regions'].items()}


def test_components():
    results = LoadRegions()(_results())
    assert results['gt_region_map'].dtype == np.int32
    assert results['gt_region_map'].tolist() == [[0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 3, 0], [0, 1, 2, 2, 2, 0]]
    assert _regions(results) == dict(ids=[1, 2, 3], labels=[0, 1, 0], fine_labels=[-1, -1, -1])
    assert results['seg_fields'] == ['gt_seg_map', 'gt_region_map']


def test_connectivity_and_min_area():
    diagonal = np.array([[1, 0], [0, 1]], np.uint8)
    assert len(LoadRegions(connectivity=8)(_results(diagonal))['regions']['ids']) == 1
    assert len(LoadRegions(connectivity=4)(_results(diagonal))['regions']['ids']) == 2
    results = LoadRegions(min_area=2)(_results())
    assert results['regions']['labels'].tolist() == [0, 1]
    assert results['gt_region_map'][1, 4] == 0
    for wrong in (dict(min_area=0), dict(connectivity=6)):
        with pytest.raises(ValueError, match='min_area must be at least 1 and connectivity 4 or 8'):
            LoadRegions(**wrong)


def test_picture_without_regions():
    results = LoadRegions()(_results(np.zeros((2, 3), np.uint8), names='rider'))
    assert _regions(results) == dict(ids=[], labels=[], fine_labels=[])
    assert not results['gt_region_map'].any()


def test_name_of_the_image_goes_to_the_regions_of_its_group():
    assert _regions(LoadRegions()(_results(names='rider')))['fine_labels'] == [1, -1, 1]
    assert _regions(LoadRegions()(_results(names='bus')))['fine_labels'] == [-1, 2, -1]


def test_region_map(with_map):
    """Ids as they come, 255 among them; a region is cut to its group, and lies where most of its group's pixels say."""
    region_map = np.array([[0, 255, 0, 0, 0, 9],
                           [255, 255, 255, 0, 7, 9],
                           [0, 255, 255, 4000, 4000, 4000]], np.uint16)  # yapf: disable
    results = LoadRegions()(with_map(region_map, names={255: 'rider', 4000: 'bus'}))
    # 255 covers five pixels of the human and one of the car; 4000 two of the car and one of the sky; 9 is all ignored.
    assert results['gt_region_map'].tolist() == [[0, 2, 0, 0, 0, 0], [2, 2, 2, 0, 1, 0], [0, 2, 0, 3, 3, 0]]
    assert _regions(results) == dict(ids=[1, 2, 3], labels=[0, 0, 1], fine_labels=[-1, 1, 2])


def test_region_map_of_32_bits(tiny):
    region_map = np.where(MASK == 1, 65_535, 0).astype(np.int32)
    results = LoadRegions()(_results(MASK, None, region_map_path=tiny.write('regions/a.tif', region_map)))
    assert (results['gt_region_map'] == (MASK == 1)).all()
    for largest in (65_536, 2**31 - 1):  # for the second, counting would take 16 GB
        path = tiny.write('regions/a.tif', np.where(MASK == 1, largest, 0).astype(np.int32))
        with pytest.raises(
            DataError, match=rf'regions/a.tif: the region map has the id {largest}, but the largest allowed'
        ):
            LoadRegions()(_results(MASK, None, region_map_path=path))
    # Pillow reads it with a sign: -2147483643, which would be no region.
    tifffile.imwrite(path, np.where(MASK == 1, 2**31 + 5, 0).astype(np.uint32))
    with pytest.raises(DataError, match='the region map has the id -2147483643, but the largest allowed is 65535'):
        LoadRegions()(_results(MASK, None, region_map_path=path))


def test_region_map_of_8_bits_and_min_area(with_map):
    region_map = np.where(MASK == 3, 3, np.where(MASK == 1, 200, 0)).astype(np.uint8)
    results = LoadRegions(min_area=4)(with_map(region_map, names={3: 'bus', 200: 'walker'}))
    assert _regions(results) == dict(ids=[1], labels=[0], fine_labels=[0])
    assert (results['gt_region_map'] == (MASK == 1)).all()


def test_more_regions_than_a_byte_counts(with_map):
    """Padding is 255, so region 255 of the map becomes 256."""
    region_map = np.arange(1, 301, dtype=np.uint16).reshape(10, 30)
    results = LoadRegions()(with_map(region_map, mask=np.ones((10, 30), np.uint8)))
    assert results['regions']['ids'].tolist() == [*range(1, 255), *range(256, 302)]
    assert results['gt_region_map'][8, 13:16].tolist() == [254, 256, 257]


def test_without_mask_nothing_is_done():
    results = dict(img_path='a.png', img=np.zeros((2, 2, 3)))
    assert LoadRegions()(dict(results)).keys() == results.keys()
    with pytest.raises(ValueError, match='put LoadAnnotations before it'):
        LoadRegions()(dict(results, seg_map_path='a.png'))


@pytest.mark.parametrize(
    ('mask', 'ori_shape', 'message'),
    [
        (
            np.zeros((4, 6), np.uint8),
            (4, 5),
            'masks/a.png: the mask is 6x4 pixels, but its picture images/a.png 5x4; make',
        ),
        (np.zeros((4, 6), np.uint8), (6, 4), '(a photograph is rotated by its EXIF orientation'),
        (np.zeros((4, 6, 3), np.uint8), (4, 6), 'masks/a.png: the mask has shape (4, 6, 3), a colour picture; save it'),
        (np.arange(20, 40, dtype=np.uint8)[None], (1, 20), 'Interpolation and JPEG leave many labels of no class'),
        (np.array([[0, 4, 9, 9]], np.uint8), (1, 4), 'masks/a.png: 3 pixels have the labels [4, 9], outside 0..3'),
    ],
)
def test_mask_errors(mask, ori_shape, message):
    results = _results(mask)
    results['ori_shape'] = ori_shape
    with pytest.raises(DataError, match=re.escape(message)):
        LoadRegions()(results)


def test_binary_masks_of_0_and_255():
    mask = np.array([[0, 255]], np.uint8)
    group = dict(name='cell', members=['cell'], fine_classes=['round'])
    strict = Taxonomy.from_dict(dict(classes=['background', 'cell'], groups=[group], ignore_index=254))
    with pytest.raises(DataError, match=r'1 pixels have the labels \[255\], .* two classes 0 and 1, not 0 and 255'):
        LoadRegions()(dict(_results(mask), taxonomy=strict))
    usual = Taxonomy.from_dict(dict(classes=['background', 'cell'], groups=[group]))
    load = LoadRegions()
    with pytest.warns(UserWarning, match="masks/a.png: has no pixel of class 'cell' but some of 255") as warned:
        for _ in range(2):
            load(dict(_results(mask), taxonomy=usual))
    assert len(warned) == 1


@pytest.mark.parametrize(('region_map', 'names', 'message'), [
    (np.zeros((3, 5), np.uint8), None, 'regions/a.png: the region map is 5x3 pixels, but its picture images/a.png 6x3'),
    (np.zeros((3, 6, 3), np.uint8), None, 'regions/a.png: the region map has shape (3, 6, 3), a colour picture'),
    ((MASK == 3) * np.uint8(7), {7: 'bus', 8: 'bus', 9: 'bus'}, 'names the regions [8, 9], which have no pixel here'),
    ((MASK == 0) * np.uint8(5), None, "the regions [5] cover no pixel of any group, because the mask masks/a.png has "
     'only'),
    ((MASK == 3) * np.uint8(7), {7: 'rider'}, "region 7 belongs to group 'vehicle' by the mask masks/a.png, but group "
     "'vehicle' does not allow the fine class 'rider'; it allows ['bus']; fix"),
])  # yapf: disable
def test_region_map_errors(with_map, region_map, names, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        LoadRegions()(with_map(region_map, names))
    assert 'regions/a.png' in str(caught.value)


def test_no_groups(with_map):
    """Plain segmentation: nothing is a region, so a region map covers stuff only."""
    plain = Taxonomy.from_dict(dict(classes=['sky', 'body', 'head', 'car']))
    assert not LoadRegions()(dict(_results(), taxonomy=plain))['gt_region_map'].any()
    with pytest.raises(DataError, match='cover no pixel of any group'):
        LoadRegions()(dict(with_map(np.ones((3, 6), np.uint8)), taxonomy=plain))


def test_a_dataset_without_a_taxonomy_is_named(tiny):
    """mmseg's own: LoadRegions needs to know the groups."""
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions')]
    prefix = dict(img_path='images', seg_map_path='masks')
    dataset = BaseSegDataset(data_root=str(tiny.root), data_prefix=prefix, img_suffix='.png', pipeline=pipeline)
    with pytest.raises(TaxonomyError, match=r'LoadRegions: the sample .*a\.png has no taxonomy.*CoarseFineDataset'):
        dataset[0]
    for name in ('LoadComposedAnnotations', 'LoadThresholdAnnotations'):
        options = dict(labels=['sky', 'car']) if name.startswith('LoadC') else {}
        loader = TRANSFORMS.build(dict(type=f'deepunetto_mm.{name}', **options))
        with pytest.raises(TaxonomyError, match=f'{name}: the sample images/a.png has no taxonomy'):
            loader(dict(img=MASK, img_path='images/a.png', seg_map_path='masks/a.png', sample_idx=0))
        assert loader(dict(img=MASK, img_path='images/a.png')) == dict(img=MASK, img_path='images/a.png')


def test_labels_that_count_from_1():
    mask = np.where(MASK == 255, 1, MASK + 1).astype(np.uint8)
    with pytest.raises(DataError, match=r'labels \[4\], outside 0\.\.3 .* ilastik do, set reduce_zero_label=True'):
        LoadRegions()(_results(mask))
