import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from deepunetto_mm.datasets import DataError
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError

ROADS = Taxonomy.from_dict(
    dict(
        classes=['road', 'vehicle', 'human'],
        groups=[
            dict(name='vehicle', members=['vehicle'], fine_classes=['car', 'bus']),
            dict(name='human', members=['human'], fine_classes=['person', 'rider']),
        ],
    )
)
# Composed: road 0, car 1, bus 2, person 3, rider 4.
LABELS = {7: 'road', 26: 'car', 28: 'bus', 24: 'person', 25: 'rider'}
MASK = np.array([[7, 7, 26, 28], [7, 7, 26, 28], [24, 0, 7, 7], [7, 7, 26, 26]], np.uint8)
C, B, P, R, _ = 1, 2, 3, 4, 255
COMPOSED = np.array([[0, 0, C, B], [0, 0, C, B], [P, _, 0, 0], [0, 0, C, C]])


def _load(tmp_path, mask=MASK, region_map=None, taxonomy=ROADS, size=None, **options):
    path = tmp_path / 'mask.png'
    Image.fromarray(mask).save(path)
    results = dict(
        img_path='picture.png',
        seg_map_path=str(path),
        seg_fields=[],
        ori_shape=size or mask.shape[:2],
        taxonomy=taxonomy,
        reduce_zero_label=False,
    )
    if region_map is not None:
        results['region_map_path'] = str(tmp_path / 'regions.png')
        Image.fromarray(region_map.astype(np.uint16)).save(results['region_map_path'])
    options = dict(dict(labels=LABELS, ignored=[0]), **options)
    return TRANSFORMS.build(dict(type='deepunetto_mm.LoadComposedAnnotations', **options)).transform(results)


def test_one_mask_gives_classes_and_names(tmp_path):
    loaded = _load(tmp_path)
    np.testing.assert_array_equal(loaded['gt_fine_map'], COMPOSED)
    np.testing.assert_array_equal(loaded['gt_seg_map'], [[0, 0, 1, 1], [0, 0, 1, 1], [2, _, 0, 0], [0, 0, 1, 1]])
    # The components of each fine class: car and bus touch and stay two; by size, then by reading order.
    np.testing.assert_array_equal(loaded['gt_region_map'], [[0, 0, 1, 2], [0, 0, 1, 2], [4, 0, 0, 0], [0, 0, 3, 3]])
    np.testing.assert_array_equal(loaded['regions']['ids'], [1, 2, 3, 4])
    np.testing.assert_array_equal(loaded['regions']['labels'], [0, 0, 0, 1])
    np.testing.assert_array_equal(loaded['regions']['fine_labels'], [0, 1, 0, 2])
    assert loaded['seg_fields'] == ['gt_seg_map', 'gt_fine_map', 'gt_region_map']
    assert loaded['gt_seg_map'].dtype == loaded['gt_fine_map'].dtype == np.uint8


MANY = Taxonomy.from_dict(
    dict(
        classes=['road', 'vehicle'],
        groups=[dict(name='vehicle', members=['vehicle'], fine_classes=[f'car {n}' for n in range(300)])],
    )
)


def test_masks_of_16_bits_have_many_names(tmp_path):
    """Composed: road 0, car n n + 1; so car 254 is 255. In the file cars begin at 1000, and 255 is ignored."""
    labels = {0: 'road', **{1000 + n: f'car {n}' for n in range(300)}}
    mask = np.array([[0, 1000, 1254], [255, 1299, 0]], np.uint16)
    loaded = _load(tmp_path, mask, taxonomy=MANY, labels=labels, ignored=[])
    assert loaded['gt_fine_map'].tolist() == [[0, 1, 255], [32767, 300, 0]]
    assert loaded['gt_seg_map'].tolist() == [[0, 1, 1], [255, 1, 0]]
    assert (loaded['gt_seg_map'].dtype, loaded['gt_fine_map'].dtype) == (np.uint8, np.uint16)
    assert sorted(loaded['regions']['fine_labels'].tolist()) == [0, 254, 299]
    with pytest.raises(DataError, match=r'1 pixels have the values \[999\], which have no class'):
        _load(tmp_path, np.where(mask == 255, 999, mask).astype(np.uint16), taxonomy=MANY, labels=labels, ignored=[])
    # By value: 255 is a name in such a file, and what regions a map gives goes by names beyond 8 bits.
    region_map = np.array([[0, 7, 7], [0, 9, 0]])
    names = list(MANY.composed_classes)
    composed = np.array([[0, 255, 255], [0, 300, 0]], np.uint16)
    loaded = _load(tmp_path, composed, region_map, MANY, labels=names, ignored=[])
    assert loaded['regions']['fine_labels'].tolist() == [254, 299]


def test_instances_of_a_file_and_groups_of_objects(tmp_path):
    """Ids as Cityscapes has them: 26 is a group of cars, 26000 and 26001 are two cars that touch."""
    instances = np.array([[7, 7, 26000, 28000], [7, 7, 26001, 28000], [24, 0, 7, 7], [7, 7, 26, 26]])
    loaded = _load(tmp_path, region_map=instances, min_region_id=1000)
    np.testing.assert_array_equal(loaded['gt_region_map'], [[0, 0, 1, 3], [0, 0, 2, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(loaded['regions']['fine_labels'], [0, 0, 1])
    np.testing.assert_array_equal(loaded['regions']['labels'], [0, 0, 0])
    np.testing.assert_array_equal(loaded['gt_fine_map'], COMPOSED)  # the group of cars is car, and no region


def test_a_region_keeps_the_pixels_of_its_own_class(tmp_path):
    instances = np.zeros((4, 4), int)
    instances[:2, 2:] = 9  # two pixels of car, two of bus: the first fine class of the taxonomy wins
    instances[3, 3] = 5
    loaded = _load(tmp_path, region_map=instances)
    np.testing.assert_array_equal(loaded['gt_region_map'], [[0, 0, 2, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(loaded['regions']['fine_labels'], [0, 0])


def test_members_of_the_fine_classes_names_are_their_own_segmentation_classes(tmp_path):
    """As in the variant that segments all classes and lets the fine head vote."""
    taxonomy = Taxonomy.from_dict(
        dict(
            classes=['bus', 'road', 'car', 'human'],
            groups=[
                dict(name='vehicle', members=['car', 'bus'], fine_classes=['car', 'bus']),
                dict(name='human', members=['human'], fine_classes=['person', 'rider']),
            ],
        )
    )
    loaded = _load(tmp_path, taxonomy=taxonomy)
    np.testing.assert_array_equal(loaded['gt_seg_map'], [[1, 1, 2, 0], [1, 1, 2, 0], [3, _, 1, 1], [1, 1, 2, 2]])
    np.testing.assert_array_equal(loaded['gt_fine_map'], COMPOSED)


def test_small_regions_leave_the_regions_but_not_the_maps(tmp_path):
    loaded = _load(tmp_path, min_area=2)
    np.testing.assert_array_equal(loaded['regions']['fine_labels'], [0, 1, 0])
    assert (loaded['gt_seg_map'][2, 0], loaded['gt_fine_map'][2, 0]) == (2, 3)


def test_no_object_is_no_region(tmp_path):
    loaded = _load(tmp_path, mask=np.full((2, 3), 7, np.uint8))
    np.testing.assert_array_equal(loaded['gt_region_map'], np.zeros((2, 3)))
    assert {key: value.shape for key, value in loaded['regions'].items()} == dict(
        ids=(0,), labels=(0,), fine_labels=(0,)
    )


def test_a_picture_without_mask_passes():
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.LoadComposedAnnotations', labels=['road']))
    assert transform.transform(dict(img_path='x')) == dict(img_path='x')


def test_labels_survive_a_config_file(tmp_path):
    """mmengine writes every config into the checkpoint and the work directory, and reads it again."""
    config = Config(dict(transform=dict(type='deepunetto_mm.LoadComposedAnnotations', labels=LABELS, ignored=[0])))
    config.dump(tmp_path / 'config.py')
    transform = TRANSFORMS.build(Config.fromfile(tmp_path / 'config.py').transform)
    assert transform.labels == LABELS


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.full((4, 4), 9, np.uint8), r'mask\.png: 16 pixels have the values \[9\], which have no class; add them to'),
        (np.zeros((4, 4, 3), np.uint8), r'mask\.png: the mask has shape \(4, 4, 3\), a colour picture'),
    ],
)
def test_bad_masks_name_the_file(tmp_path, mask, message):
    with pytest.raises(DataError, match=message):
        _load(tmp_path, mask=mask)


def test_a_mask_of_another_size_names_both(tmp_path):
    with pytest.raises(DataError, match=r'mask\.png: the mask is 4x4 pixels, but its picture picture\.png 6x5'):
        _load(tmp_path, size=(5, 6))


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(labels={7: 'street'}), TaxonomyError, r"'street' \(value 7\) is not a composed class of the taxonomy"),
        (dict(labels={2**16: 'road'}), ValueError, r'mask values must be integers in 0\.\.65535, got \[65536\]'),
        (dict(ignored=[7]), ValueError, r'the mask values \[7\] are in both labels and ignored; remove one'),
        (dict(min_area=0), ValueError, 'min_region_id and min_area must be at least 1'),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        _load(tmp_path, **options)


def test_a_fine_class_of_several_members_does_not_tell_the_segmentation_class(tmp_path):
    cells = Taxonomy.from_dict(
        dict(
            classes=['background', 'cytoplasm', 'nucleus'],
            groups=[dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['monocyte', 'lymphocyte'])],
        )
    )
    with pytest.raises(TaxonomyError, match="'monocyte' does not determine the member of its group for a pixel"):
        _load(tmp_path, taxonomy=cells, labels=['background', 'monocyte', 'lymphocyte'], ignored=[])
