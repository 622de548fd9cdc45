import cv2
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from deepunetto_mm.datasets import DataError, LoadRegions
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.threshold_masks.load_threshold_annotations import LoadThresholdAnnotations

TAXONOMY = dict(
    classes=['cup', 'ground', 'body', 'head', 'fruit'],
    groups=[
        dict(name='cup', members=['cup'], fine_classes=['mug', 'glass']),
        dict(name='animal', members=['body', 'head'], fine_classes=['dog', 'cat', 'head']),
        dict(name='fruit', members=['fruit'], fine_classes=['apple']),
    ],
)
#: 8x8, a bright square of 3x3; the ground is darker. Of colours that only the order of the channels tells apart.
IMAGE = np.full((8, 8, 3), (200, 10, 10), np.uint8)  # BGR: blue
IMAGE[2:5, 3:6] = (10, 10, 200)
SQUARE = np.zeros((8, 8), bool)
SQUARE[2:5, 3:6] = True


def _results(name='apple', taxonomy=TAXONOMY, image=IMAGE, **more):
    return dict(
        img=image,
        img_path='images/a.jpg',
        img_shape=image.shape[:2],
        ori_shape=image.shape[:2],
        seg_fields=[],
        taxonomy=Taxonomy.from_dict(taxonomy),
        region_names=name,
        **more,
    )


def test_the_object_has_the_generic_class_of_the_picture():
    for name, label in (('apple', 4), ('mug', 0), ('glass', 0), ('head', 3)):
        results = LoadThresholdAnnotations()(_results(name))
        assert results['gt_seg_map'].dtype == np.uint8
        assert (results['gt_seg_map'] == np.where(SQUARE, label, 1)).all()
        assert results['seg_fields'] == ['gt_seg_map']


def test_regions_follow():
    results = LoadRegions()(LoadThresholdAnnotations()(_results('apple')))
    assert {key: value.tolist() for key, value in results['regions'].items()} == dict(
        ids=[1], labels=[2], fine_labels=[5]
    )
    assert (results['gt_region_map'] == SQUARE).all()
    assert results['seg_fields'] == ['gt_seg_map', 'gt_region_map']


def test_channels_are_those_of_the_picture_and_not_swapped():
    red = LoadThresholdAnnotations(channel='red', polarity='bright')(_results())
    assert ((red['gt_seg_map'] == 4) == SQUARE).all()
    blue = LoadThresholdAnnotations(channel='blue', polarity='bright', fill_holes=False)(_results())
    assert ((blue['gt_seg_map'] == 4) == ~SQUARE).all()


def test_classes_can_be_named():
    results = LoadThresholdAnnotations(foreground='body', background='cup')(_results(name=None))
    assert (results['gt_seg_map'] == np.where(SQUARE, 2, 0)).all()


def test_a_picture_without_object_is_ground():
    results = LoadRegions()(LoadThresholdAnnotations()(_results(image=np.full((4, 5, 3), 9, np.uint8))))
    assert (results['gt_seg_map'] == 1).all()
    assert len(results['regions']['ids']) == 0


@pytest.mark.filterwarnings('error')
def test_a_bad_mask_counts_for_nothing():
    two = dict(classes=['ground', 'fruit'], groups=TAXONOMY['groups'][2:])
    perfect = LoadThresholdAnnotations(min_quality=1.0)(_results(taxonomy=two))
    assert ((perfect['gt_seg_map'] == 1) == SQUARE).all()
    touching = IMAGE.copy()
    touching[2:5, :3] = touching[3, 3]  # 3 of 28 pixels at the border
    results = LoadRegions()(LoadThresholdAnnotations(min_quality=0.9)(_results(taxonomy=two, image=touching)))
    assert (results['gt_seg_map'] == 255).all()
    assert len(results['regions']['ids']) == 0


@pytest.mark.parametrize(
    ('options', 'results', 'error', 'message'),
    [
        ({}, dict(name=None), DataError, 'images/a.jpg: the table of fine labels has no fine class'),
        ({}, dict(name={1: 'mug'}), DataError, 'has single regions'),
        ({}, dict(name='plate'), TaxonomyError, "'plate' is not a fine class"),
        ({}, dict(name='dog'), TaxonomyError, r"'dog' is made of \['body', 'head'\]"),
        (dict(foreground='plate'), {}, TaxonomyError, "foreground='plate' is not a segmentation class"),
        (dict(background='sky'), {}, TaxonomyError, "background='sky' is not a segmentation class"),
        ({}, dict(taxonomy={**TAXONOMY, 'groups': TAXONOMY['groups'][2:]}), TaxonomyError, "set background='...'"),
        ({}, dict(seg_map_path='masks/a.png'), ValueError, 'images/a.jpg has the mask masks/a.png'),
        ({}, dict(image=IMAGE.astype(np.float32)), ValueError, '8 bits'),
    ],
)
def test_what_cannot_be_done(options, results, error, message):
    with pytest.raises(error, match=message):
        LoadThresholdAnnotations(**options)(_results(**results))


def test_a_resized_picture_is_refused():
    with pytest.raises(ValueError, match='move it before all transforms that resize'):
        LoadThresholdAnnotations()({**_results(), 'ori_shape': (16, 16)})


def test_wrong_options():
    with pytest.raises(ValueError, match='min_quality must be from 0 to 1'):
        LoadThresholdAnnotations(min_quality=2)
    with pytest.raises(ValueError, match='method must be one of'):
        LoadThresholdAnnotations(method='mean')


def test_builds_by_name_and_prints_its_options(mmseg_scope):
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.LoadThresholdAnnotations', area_range=[0.1, 0.5]))
    assert 'area_range=(0.1, 0.5)' in repr(transform)


def _threshold_dataset(tiny, **options):
    for name, spot in (('a', (slice(1, 4), slice(2, 5))), ('b', (slice(2, 4), slice(3, 6)))):
        image = np.full((6, 8, 3), 200, np.uint8)
        image[spot] = 20
        cv2.imwrite(str(tiny.root / 'images' / f'{name}.png'), image)
    tiny.table('image,fine_class\na,artery\nb,vein\n')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='deepunetto_mm.LoadThresholdAnnotations'),
        dict(type='deepunetto_mm.LoadRegions'),
        dict(type='RandomFlip', prob=1.0),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    return tiny.build(**{**dict(masks=False, mask_files=False, pipeline=pipeline), **options})


def test_trains_from_a_dataset_without_masks(tiny):
    dataset = _threshold_dataset(tiny)
    sample = dataset[0]['data_samples']
    expected = np.zeros((6, 8), int)
    expected[1:4, 3:6] = 3  # 2..4 mirrored
    assert sample.gt_sem_seg.data[0].tolist() == expected.tolist()
    assert sample.gt_regions.fine_labels.tolist() == [2]
    assert sample.gt_regions.bboxes.tolist() == [[3, 1, 6, 4]]
    assert dataset[1]['data_samples'].gt_regions.fine_labels.tolist() == [3]
    assert len(_threshold_dataset(tiny, test_mode=True)[0]['data_samples'].gt_regions) == 1


def test_a_dataset_without_masks_takes_no_folder_of_masks(tiny):
    with pytest.raises(DataError, match='mask_files=False means that there are only pictures'):
        _threshold_dataset(tiny, masks=True)
    with pytest.raises(DataError, match='or with mask_files=False'):
        _threshold_dataset(tiny, mask_files=True)
