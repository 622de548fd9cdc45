"""COCO's annotations into training data. What is in the pictures is in tests/data/coco_tree.py."""

import unicodedata

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from deepunetto_mm.datasets import DataError
from deepunetto_mm.structures import Taxonomy, TaxonomyError

TAXONOMY = dict(
    classes=['background', 'animal', 'kitchen'],
    groups=[
        dict(name='animal', members=['animal'], fine_classes=['dog', 'cat']),
        dict(name='kitchen', members=['kitchen'], fine_classes=['cup']),
    ],
)
# By other names, in another order, and with a class of stuff that an annotation paints.
OTHER = dict(
    classes=['pet', 'floor', 'vessel'],
    groups=[
        dict(name='tableware', members=['vessel'], fine_classes=['cup', 'plate']),
        dict(name='pets', members=['pet'], fine_classes=['dog']),
    ],
)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='deepunetto_mm.LoadCocoAnnotations'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def tree(coco, tmp_path):
    coco['write_tree'](tmp_path)
    return tmp_path


def build(root, **options):
    config = dict(data_root=str(root), ann_file='instances.json', data_prefix=dict(img_path='images'))
    return DATASETS.build(dict(type='deepunetto_mm.CocoFineDataset', **{**config, 'pipeline': PIPELINE, **options}))


def maps(sample):
    return [sample.get(field).data[0].numpy().tolist() for field in ('gt_sem_seg', 'gt_fine_seg', 'gt_region_map')]


# --------------------------------------------------------------------------------------------------- what is read
def test_the_categories_are_the_taxonomy(tree):
    dataset = build(tree)
    assert dataset.metainfo['taxonomy'] == dict(TAXONOMY, ignore_index=255)
    assert dataset.metainfo['classes'] == ('background', 'animal', 'kitchen')
    assert build(tree, background='floor').metainfo['classes'] == ('floor', 'animal', 'kitchen')


def test_polygons_codes_and_crowds_are_painted(tree, coco):
    """Regions in the order of the file, the smaller on top, the crowd under all and ignored."""
    dataset = build(tree)
    sample = dataset[0]['data_samples']
    sem_seg, fine_seg, region_map = maps(sample)
    rows = coco['ROWS']
    lookup = np.zeros(256, int)
    for table, expected in (
        ({0: 0, 1: 2, 2: 1, 3: 1, 255: 255}, sem_seg),  # kitchen, animal, animal
        ({0: 0, 1: 3, 2: 1, 3: 2, 255: 255}, fine_seg),  # composed: background, dog, cat, cup
        ({0: 0, 1: 1, 2: 2, 3: 3, 255: 0}, region_map),
    ):
        lookup[list(table)] = list(table.values())
        assert expected == lookup[rows].tolist()
    regions = sample.gt_regions
    assert regions.ids.tolist() == [1, 2, 3]
    assert regions.labels.tolist() == [1, 0, 0]
    assert regions.fine_labels.tolist() == [coco['CUP'], coco['DOG'], coco['CAT']]
    assert regions.bboxes.tolist() == [[1, 0, 8, 2], [0, 0, 4, 4], [0, 5, 8, 6]]


def test_ids_of_pictures_need_not_be_in_order(tree):
    samples = [item['data_samples'] for item in build(tree)]
    assert [sample.img_id for sample in samples] == [42, 7, 300]
    assert [len(sample.gt_regions) for sample in samples] == [3, 0, 1]


def test_a_picture_without_annotation_is_background(tree):
    sample = build(tree)[1]['data_samples']
    assert maps(sample) == [np.zeros((6, 8)).tolist()] * 3
    assert (
        build(tree, background=None, metainfo=dict(taxonomy=TAXONOMY))[1]['data_samples'].gt_sem_seg.data.min() == 255
    )


def test_a_code_that_covers_all(tree, coco):
    sample = build(tree)[2]['data_samples']
    assert maps(sample) == [np.full((6, 8), value).tolist() for value in (1, 2, 1)]


def test_the_taxonomy_of_metainfo_counts(tree, coco):
    """Categories are its fine and stuff classes by their names; supercategories do not matter there."""
    categories = [dict(category, supercategory='') for category in coco['CATEGORIES']]
    categories[2]['name'] = 'floor'
    coco['write_json'](tree, categories=categories)
    dataset = build(tree, metainfo=dict(taxonomy=OTHER), background='floor')
    assert Taxonomy.from_dict(OTHER).difference(dataset.taxonomy) == ''
    sem_seg, fine_seg, region_map = maps(dataset[0]['data_samples'])
    # Composed: floor, cup, plate, dog.
    assert sem_seg[0] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert fine_seg[0] == [3, 3, 3, 3, 0, 0, 1, 1]
    assert region_map[0] == [2, 2, 2, 2, 0, 0, 1, 1]
    assert (sem_seg[5], fine_seg[5], region_map[5]) == ([1] * 8, [0] * 8, [0] * 8)  # floor is no object
    assert dataset[0]['data_samples'].gt_regions.fine_labels.tolist() == [0, 2]


def test_ignored_categories_are_as_crowds(tree):
    dataset = build(tree, ignored=['cat'])
    assert dataset.metainfo['taxonomy']['groups'][0]['fine_classes'] == ['dog']
    sem_seg, fine_seg, region_map = maps(dataset[0]['data_samples'])
    assert (sem_seg[5], fine_seg[5], region_map[5]) == ([255] * 8, [255] * 8, [0] * 8)
    assert sem_seg[0][0] == 1
    assert dataset[0]['data_samples'].gt_regions.fine_labels.tolist() == [1, 0]


def test_a_category_that_no_annotation_has_needs_no_class(tree, coco):
    coco['write_json'](tree, categories=[*coco['CATEGORIES'], dict(id=99, name='root')])
    assert len(build(tree, metainfo=dict(taxonomy=TAXONOMY))) == 3


def test_a_category_of_the_backgrounds_name_is_no_object(tree, coco):
    coco['write_json'](tree, categories=[dict(id=0, name='background', supercategory='none'), *coco['CATEGORIES']])
    assert build(tree).metainfo['taxonomy'] == dict(TAXONOMY, ignore_index=255)


def test_prediction_needs_no_annotations(tree, coco):
    coco['write_json'](tree, annotations=None)
    dataset = build(tree, test_mode=True)
    assert dataset[2]['data_samples'].img_id == 300
    assert not {'gt_sem_seg', 'gt_regions'} & set(dataset[2]['data_samples'].keys())
    with pytest.raises(DataError, match=r"instances\.json: no 'annotations'; use a file .*set test_mode=True"):
        build(tree)


def test_the_first_pictures_alone(tree):
    assert [item['data_samples'].img_id for item in build(tree, indices=2)] == [42, 7]


def test_reading_can_wait(tree):
    """With a taxonomy of its own the file is read at first use, without at once."""
    dataset = build(tree, lazy_init=True, ann_file='absent.json', metainfo=dict(taxonomy=TAXONOMY))
    with pytest.raises(DataError, match='no such file'):
        dataset.full_init()
    assert len(build(tree, lazy_init=True)) == 3


def test_transforms_of_mmseg_move_all_maps(tree):
    """Resized to twice the size and flipped, as the maps themselves would be."""
    moved = [
        *PIPELINE[:2],
        dict(type='Resize', scale=(16, 12), keep_ratio=False),
        dict(type='RandomFlip', prob=1.0, direction='horizontal'),
        PIPELINE[2],
    ]
    sample, plain = build(tree, pipeline=moved)[0]['data_samples'], build(tree)[0]['data_samples']
    for before, after in zip(maps(plain), maps(sample)):
        assert np.array(before)[:, ::-1].repeat(2, 0).repeat(2, 1).tolist() == after
    assert sample.gt_regions.bboxes.tolist() == [[0, 0, 14, 4], [8, 0, 16, 8], [0, 10, 16, 12]]
    assert sample.gt_regions.fine_labels.tolist() == plain.gt_regions.fine_labels.tolist()


# ------------------------------------------------------------------------------------------------------- panoptic
PANOPTIC_CATEGORIES = [
    dict(id=21, name='grass', supercategory='ground', isthing=0),
    dict(id=7, name='dog', supercategory='animal', isthing=1),
]
DOGS = 70000  # needs all three channels


def write_panoptic(tree, coco, segment_map=None, **changes):
    """Picture a: grass, a dog, a crowd of dogs, and void; as COCO writes it."""
    if segment_map is None:
        segment_map = np.zeros((6, 8), int)
        segment_map[1:], segment_map[2, :3], segment_map[5, 5:] = 1, DOGS, 300
    (tree / 'panoptic').mkdir(exist_ok=True)
    channels = np.stack([segment_map % 256, segment_map // 256 % 256, segment_map // 65536], axis=2)
    Image.fromarray(channels.astype(np.uint8)).save(tree / 'panoptic' / 'a.png')
    segments = [
        dict(id=DOGS, category_id=7, iscrowd=0),
        dict(id=1, category_id=21, iscrowd=0),
        dict(id=300, category_id=7, iscrowd=1),
    ]
    content = dict(
        images=coco['IMAGES'][:1],
        categories=PANOPTIC_CATEGORIES,
        annotations=[dict(image_id=42, file_name='a.png', segments_info=segments)],
    )
    coco['write_json'](tree, 'panoptic.json', **{**content, **changes})


def build_panoptic(tree, **options):
    prefix = dict(img_path='images', seg_map_path='panoptic')
    return build(tree, **{**dict(ann_file='panoptic.json', data_prefix=prefix, background=None), **options})


def test_panoptic_maps_are_read(tree, coco):
    write_panoptic(tree, coco)
    dataset = build_panoptic(tree)
    assert dataset.metainfo['classes'] == ('grass', 'animal')
    sample = dataset[0]['data_samples']
    expected = np.zeros((6, 8), int)
    expected[0], expected[2, :3], expected[5, 5:] = 255, 1, 255
    assert maps(sample) == [expected.tolist(), expected.tolist(), (expected == 1).astype(int).tolist()]
    assert sample.gt_regions.fine_labels.tolist() == [0]
    # Void can be said to be a class.
    dataset = build_panoptic(tree, background='road')
    assert dataset.metainfo['classes'] == ('road', 'grass', 'animal')
    assert maps(dataset[0]['data_samples'])[0][0] == [0] * 8


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        ({}, dict(data_prefix=dict(img_path='images')), "data_prefix has no 'seg_map_path', the folder of their maps"),
        ({}, dict(ann_file='instances.json'), r"instances\.json: no panoptic annotations, but data_prefix has 'seg_m"),
        (dict(segment_map=np.zeros((6, 8), int)), {}, r'a\.png: the segments \[70000, 1, 300\] of .* have no pixel'),
        (dict(segment_map=np.full((6, 8), 9)), {}, r'a\.png: ids \[9\] are in the map but not in the list of segments'),
        (dict(segment_map=np.zeros((8, 6), int)), {}, r'a\.png: the panoptic map has the shape \(8, 6\), but its pic'),
        (dict(annotations=[dict(image_id=42, file_name='x.png', segments_info=[])]), {}, r'x\.png: no such file, but'),
        (
            dict(annotations=[dict(image_id=42, file_name='a.png', segments_info=[dict(id=1, category_id=7)] * 2)]),
            {},
            'several segments of image 42 have the id 1',
        ),
    ],
)
def test_what_is_wrong_with_panoptic_files(tree, coco, changes, options, message):
    write_panoptic(tree, coco, **changes)
    with pytest.raises(DataError, match=message):
        build_panoptic(tree, **options)[0]


def test_an_image_without_panoptic_map_is_named(tree, coco):
    write_panoptic(tree, coco, images=coco['IMAGES'])
    with pytest.raises(DataError, match=r'panoptic\.json: no annotation, and so no panoptic map, of image 7; remove'):
        build_panoptic(tree)


def test_pictures_of_a_panoptic_file_can_be_predicted_on(tree, coco):
    write_panoptic(tree, coco)
    dataset = build_panoptic(tree, data_prefix=dict(img_path='images'), test_mode=True)
    assert 'gt_sem_seg' not in dataset[0]['data_samples']


# --------------------------------------------------------------------------------------------------------- errors
def test_missing_files_are_named(tree):
    with pytest.raises(DataError, match=r'absent\.json: no such file; fix data_root or ann_file'):
        build(tree, ann_file='absent.json')
    (tree / 'images/sub/c.png').unlink()
    with pytest.raises(DataError, match=r'sub/c\.png: no such file, but .*instances\.json lists it \(1 of 3 are missi'):
        build(tree)


@pytest.mark.parametrize('name', ['sub\\c.png', unicodedata.normalize('NFC', 'Zürich/c.png')])
def test_names_of_files_in_another_form_are_found(tree, coco, name):
    """Of Windows, or composed where the disk has them decomposed."""
    stored = unicodedata.normalize('NFD', name.replace('\\', '/'))
    (tree / 'images' / stored).parent.mkdir(exist_ok=True)
    (tree / 'images/sub/c.png').rename(tree / 'images' / stored)
    coco['write_json'](tree, images=[*coco['IMAGES'][:2], dict(coco['IMAGES'][2], file_name=name)])
    assert build(tree).get_data_info(2)['img_path'] == str(tree / 'images' / stored)


def test_annotations_that_cannot_be_used_are_surveyed(tree, coco):
    wrong = [dict(coco['ANNOTATIONS'][2], id=id_, segmentation=[[0, 0, 2, 2]]) for id_ in (70, 71)]
    coco['write_json'](tree, annotations=[*coco['ANNOTATIONS'], *wrong])
    for options in (dict(), dict(metainfo=dict(taxonomy=TAXONOMY))):
        with pytest.raises(
            DataError, match='2 annotations cannot be used: annotation 70 of image 42, annotation 71 of'
        ):
            build(tree, **options)
        dataset = build(tree, lazy_init=True, **options)
        assert [problem.kind for problem in dataset.survey()] == ['COCO annotation']
        assert dataset[0]['data_samples'].gt_regions.ids.tolist() == [1, 2, 3]


def test_what_is_ignored_by_its_flags_is_counted(tree, coco):
    """Of five annotations one is a crowd; another gets the flag that mmdetection passes over."""
    (note,) = build(tree).notes
    assert (note.kind, str(note).partition(': ')[2][:72]) == (
        'crowd annotations',
        '1 of 5 annotations have iscrowd=1 and are ignored: their pixels count fo',
    )
    annotations = [dict(item, iscrowd=1) for item in coco['ANNOTATIONS']]
    coco['write_json'](tree, annotations=annotations)
    assert '5 of 5 annotations have iscrowd=1' in str(build(tree).notes[0])
    sample = build(tree)[2]['data_samples']
    assert (len(sample.gt_regions), np.unique(sample.gt_sem_seg.data).tolist()) == (0, [255])
    objects = build(tree, crowd_objects=True)
    assert objects.notes == []
    assert objects[2]['data_samples'].gt_regions.fine_labels.tolist() == [1]
    coco['write_json'](tree, annotations=[dict(item, ignore=1) for item in annotations])
    dataset = build(tree, crowd_objects=True)
    assert [note.kind for note in dataset.notes] == ['annotations to ignore']
    assert len(dataset[2]['data_samples'].gt_regions) == 0


def test_more_names_than_8_bits(tree, coco):
    """The cat is name 299, the dog 255: neither is taken for the crowd, which is ignored."""
    names = [f'kind {n}' for n in range(300)]
    names[254], names[298], names[0] = 'dog', 'cat', 'cup'  # composed labels: one more, behind the background
    group = dict(name='thing', members=['thing'], fine_classes=names)
    sample = build(tree, metainfo=dict(taxonomy=dict(classes=['background', 'thing'], groups=[group])))[0]
    sample = sample['data_samples']
    seen = {0: 0, 1: 1, 2: 255, 3: 299, 255: 32767}
    assert sample.gt_fine_seg.data[0].tolist() == [[seen[v] for v in row] for row in coco['ROWS'].tolist()]
    ignored = sample.gt_fine_seg.data == 32767
    assert ((sample.gt_sem_seg.data == 255) == ignored).all()
    assert sorted(sample.gt_regions.fine_labels.tolist()) == [0, 254, 298]


def test_numbers_as_texts_and_fractions_are_numbers(tree, coco):
    """As coco write them that go through tables. A flag of '0' is not set; one of words is an error."""
    plain = [maps(build(tree)[index]['data_samples']) for index in range(3)]
    texts = [
        dict(
            item,
            image_id=float(item['image_id']),
            category_id=str(item['category_id']),
            iscrowd=str(item['iscrowd']),
        )
        for item in coco['ANNOTATIONS']
    ]
    images = [dict(image, id=str(image['id']), height=6.0, width='8') for image in coco['IMAGES']]
    coco['write_json'](tree, annotations=texts, images=images)
    dataset = build(tree)
    assert [maps(dataset[index]['data_samples']) for index in range(3)] == plain
    assert dataset[0]['data_samples'].img_id == 42
    coco['write_json'](tree, annotations=[dict(texts[0], iscrowd='false', image_id=42, category_id=7)])
    with pytest.raises(DataError, match="annotation 901 of image 42: it has iscrowd='false'; write 0 or 1"):
        build(tree)


def test_names_of_categories_in_another_form_of_unicode(tree, coco):
    forms = [unicodedata.normalize(form, 'Möwe') for form in ('NFC', 'NFD')]
    for name, other in (forms, forms[::-1]):
        coco['write_json'](tree, categories=[dict(coco['CATEGORIES'][0], name=name), *coco['CATEGORIES'][1:]])
        groups = [dict(TAXONOMY['groups'][0], fine_classes=[other, 'cat']), TAXONOMY['groups'][1]]
        dataset = build(tree, metainfo=dict(taxonomy=dict(TAXONOMY, groups=groups)))
        assert dataset.taxonomy.fine_classes == (forms[0], 'cat', 'cup')
        assert sorted(dataset[0]['data_samples'].gt_regions.fine_labels.tolist()) == [0, 1, 2]


def test_a_category_that_is_left_out_is_told(tree, coco):
    coco['write_json'](tree, categories=[dict(id=0, name='animal', supercategory='none'), *coco['CATEGORIES']])
    dataset = build(tree)
    assert dataset.metainfo['classes'] == ('background', 'animal', 'kitchen')
    assert "the categories ['animal'] are supercategories of others and have no annotation" in str(dataset.notes[-1])


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (
            dict(metainfo=dict(taxonomy=OTHER), background='floor'),
            DataError,
            r"annotations have categories \{'cat': 2\} \(number of annotations\), which are not fine or stuff class",
        ),
        (
            dict(metainfo=dict(taxonomy=OTHER)),
            TaxonomyError,
            r"background='background' is not a stuff class .*\['floor'\]",
        ),
        (
            dict(ignored=['cow']),
            DataError,
            r"no category \['cow'\], listed in ignored; there are \['dog', 'cup', 'cat'\]",
        ),
        (dict(background='animal'), TaxonomyError, r"segmentation class listed more than once: \['animal'\]"),
        (dict(data_prefix=dict(img_path='images', region_map_path='x')), DataError, "has 'region_map_path'; the regio"),
        (dict(data_prefix=dict(img='images')), DataError, r"data_prefix has the keys \['img'\]"),
        (
            dict(
                metainfo=dict(
                    taxonomy=dict(
                        classes=['background', 'head', 'body', 'kitchen'],
                        groups=[
                            dict(name='animal', members=['head', 'body'], fine_classes=['dog', 'cat']),
                            dict(name='kitchen', members=['kitchen'], fine_classes=['cup']),
                        ],
                    )
                )
            ),
            TaxonomyError,
            "'dog', a category of .*, does not determine the member of its group for a pixel",
        ),
    ],
)
def test_wrong_options_are_refused(tree, options, error, message):
    with pytest.raises(error, match=message):
        build(tree, **options)


def test_a_picture_of_another_size_names_both(tree, coco):
    coco['write_json'](tree, images=[dict(coco['IMAGES'][1], height=8, width=6)], annotations=[])
    with pytest.raises(DataError, match=r'b\.png: the picture is 8x6 pixels, but in .*\.json 6x8 \(a photograph is'):
        build(tree)[0]


def test_what_is_misspelt_is_an_error(tree):
    with pytest.raises(TypeError, match='img_suffix'):
        build(tree, img_suffix='.png')


def test_pictures_are_balanced_by_their_fine_classes(tree):
    dataset = build(tree)
    found = [dataset[i]['data_samples'].gt_regions.fine_labels for i in range(len(dataset))]
    assert [dataset.get_cat_ids(i) for i in range(len(dataset))] == [sorted(set(item.tolist())) for item in found]
    assert any(len(item) for item in found)
