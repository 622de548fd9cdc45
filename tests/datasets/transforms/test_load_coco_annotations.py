"""What lies on top of what; the rest is seen through the dataset, in tests/datasets/test_coco_fine_dataset.py."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['floor', 'wall', 'animal'],
        groups=[dict(name='animal', members=['animal'], fine_classes=['dog', 'cat'])],
    )
)
FLOOR, WALL, DOG, CAT = range(4)


def rows(height, width, first, last):
    """The code of rows ``first`` to ``last``, the last left out."""
    run, rest = last - first, height - (last - first)
    return dict(size=[height, width], counts=[first] + [run, rest] * (width - 1) + [run, height - last])


def load(*annotations, size=(4, 2), background=FLOOR, **options):
    results = dict(
        img_path='a.png',
        ori_shape=size,
        seg_fields=[],
        taxonomy=TAXONOMY,
        coco=dict(
            ann_file='a.json',
            size=size,
            background=background,
            annotations=[
                dict(id=number, label=label, segmentation=code) for number, (label, code) in enumerate(annotations)
            ],
        ),
    )
    return TRANSFORMS.build(dict(type='deepunetto_mm.LoadCocoAnnotations', **options)).transform(results)


def column(loaded, key):
    assert (loaded[key] == loaded[key][:, :1]).all()
    return loaded[key][:, 0].tolist()


def test_maps_and_their_types():
    loaded = load((CAT, rows(4, 2, 1, 3)))
    assert (column(loaded, 'gt_seg_map'), column(loaded, 'gt_fine_map')) == ([0, 2, 2, 0], [0, CAT, CAT, 0])
    assert column(loaded, 'gt_region_map') == [0, 1, 1, 0]
    assert {key: value.tolist() for key, value in loaded['regions'].items()} == dict(
        ids=[1], labels=[0], fine_labels=[1]
    )
    assert loaded['seg_fields'] == ['gt_seg_map', 'gt_fine_map', 'gt_region_map']
    assert [loaded[key].dtype for key in loaded['seg_fields']] == [np.uint8, np.uint8, np.int32]
    assert [value.dtype for value in loaded['regions'].values()] == [np.int64] * 3


@pytest.mark.parametrize('flip', [False, True])
def test_the_smaller_lies_on_top_whatever_the_order(flip):
    pair = [(DOG, rows(4, 2, 0, 3)), (CAT, rows(4, 2, 2, 4))]
    assert column(load(*pair[:: -1 if flip else 1]), 'gt_fine_map') == [DOG, DOG, CAT, CAT]


def test_of_equal_masks_the_later_lies_on_top():
    loaded = load((DOG, rows(4, 2, 0, 2)), (CAT, rows(4, 2, 0, 2)))
    assert column(loaded, 'gt_fine_map') == [CAT, CAT, 0, 0]
    # The other one is nowhere to be seen, and no region.
    assert loaded['regions']['fine_labels'].tolist() == [1]
    assert column(loaded, 'gt_region_map') == [1, 1, 0, 0]


def test_crowds_lie_under_all_and_stuff_where_its_size_puts_it():
    loaded = load((DOG, rows(4, 2, 0, 3)), (255, rows(4, 2, 2, 4)), (WALL, rows(4, 2, 0, 1)))
    assert column(loaded, 'gt_fine_map') == [WALL, DOG, DOG, 255]
    assert column(loaded, 'gt_seg_map') == [WALL, 2, 2, 255]
    assert column(loaded, 'gt_region_map') == [0, 1, 1, 0]


def test_small_regions_leave_the_regions_but_not_the_maps():
    loaded = load((CAT, rows(4, 2, 0, 1)), (DOG, rows(4, 2, 1, 4)), min_area=3)
    assert column(loaded, 'gt_fine_map') == [CAT, DOG, DOG, DOG]
    assert column(loaded, 'gt_region_map') == [0, 1, 1, 1]
    assert loaded['regions']['fine_labels'].tolist() == [0]
    # What is seen counts: the dog has 6 pixels, and 4 of them are not hidden.
    assert load((CAT, rows(4, 2, 0, 2)), (DOG, rows(4, 2, 1, 4)), min_area=5)['regions']['ids'].tolist() == []


def test_an_annotation_of_no_pixel_is_no_region():
    loaded = load((CAT, [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]))
    assert column(loaded, 'gt_seg_map') == [0, 0, 0, 0]
    assert {key: value.shape for key, value in loaded['regions'].items()} == dict(
        ids=(0,), labels=(0,), fine_labels=(0,)
    )


def test_what_nothing_covers_can_be_unknown():
    assert column(load(background=255), 'gt_seg_map') == [255] * 4


def test_no_region_has_the_id_of_padding():
    """300 objects in a picture of 300 rows."""
    loaded = load(*[(DOG, rows(300, 2, y, y + 1)) for y in range(300)], size=(300, 2))
    ids = [*range(1, 255), *range(256, 302)]
    assert loaded['regions']['ids'].tolist() == column(loaded, 'gt_region_map') == ids


def test_a_picture_without_annotations_passes():
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.LoadCocoAnnotations'))
    assert transform.transform(dict(img_path='x')) == dict(img_path='x')


def test_a_wrong_option_is_refused():
    with pytest.raises(ValueError, match='min_area must be at least 1, got 0'):
        load(min_area=0)


@pytest.mark.parametrize('seed', range(4))
def test_overlapping_masks_of_all_kinds_are_those_of_pycocotools(seed):
    """Each is drawn over the larger ones, as pycocotools decodes it."""
    generator, (height, width) = np.random.default_rng(seed), (23, 31)
    masks, annotations = [], []
    for number in range(12):
        code = coco_mask.merge(coco_mask.frPyObjects([generator.uniform(-5, 35, 8).tolist()], height, width))
        if number % 3 == 0:
            noise = coco_mask.decode(code) & (generator.random((height, width)) < 0.7)
            code = coco_mask.encode(np.asfortranarray(noise.astype(np.uint8)))
        mask = coco_mask.decode(code)
        segmentation = dict(size=[height, width], counts=code['counts'].decode())
        if number % 3 == 1:  # the same runs as a list, which begins outside
            flat = mask.ravel(order='F')
            edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
            segmentation['counts'] = np.diff([0, *edges, flat.size]).tolist()
        masks.append(mask)
        annotations.append((number % 2 + DOG, segmentation))
    expected = np.zeros((height, width), int)
    for number in sorted(range(12), key=lambda number: -int(masks[number].sum())):
        expected[masks[number] > 0] = annotations[number][0]
    loaded = load(*annotations, size=(height, width))
    np.testing.assert_array_equal(loaded['gt_fine_map'], expected)
    assert loaded['gt_fine_map'].flags.c_contiguous
