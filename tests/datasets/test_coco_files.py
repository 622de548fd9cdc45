import json
import re
import runpy

import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.datasets.coco_files import read_coco
from deepunetto_mm.structures import TaxonomyError


@pytest.fixture
def tools(repository):
    return runpy.run_path(str(repository / 'tests/data/coco_tree.py'))


@pytest.fixture
def read(tools, tmp_path):
    """Read the annotation file with other images, categories or annotations."""

    def read(**changes):
        tools['write_json'](tmp_path, **changes)
        return read_coco(str(tmp_path / 'instances.json'))

    return read


def test_annotations_are_sorted_by_image(read):
    file = read()
    assert {image: [item['id'] for item in items] for image, items in file.annotations.items()} == {
        42: [901, 5, 11, 900],
        7: [],
        300: [1],
    }
    assert file.category_names == {7: 'dog', 40: 'cup', 3: 'cat'}
    assert file.map_names is None
    assert read(annotations=None).annotations is None


def test_a_supercategory_may_be_called_as_a_category(read, tools):
    categories = [dict(id=1, name='person', supercategory='person'), *tools['CATEGORIES']]
    taxonomy = read(categories=categories).taxonomy()
    assert taxonomy.classes == ('background', 'person', 'animal', 'kitchen')
    assert taxonomy.fine_classes == ('person', 'dog', 'cat', 'cup')


@pytest.mark.parametrize('supercategory', [None, '', ' ', 5, ['tool'], 'none', 'None'])
def test_a_category_without_supercategory_is_an_error(read, tools, supercategory):
    file = read(categories=[*tools['CATEGORIES'], dict(id=9, name='fork', supercategory=supercategory)])
    message = r"the categories \['fork'\] \(1 of 4\) have no supercategory, .* set metainfo=dict\(taxonomy=\.\.\.\)"
    with pytest.raises(DataError, match=message):
        file.taxonomy()
    assert file.taxonomy(ignored=['fork']).fine_classes == ('dog', 'cat', 'cup')


def test_names_must_be_distinct_across_the_taxonomy(read, tools):
    file = read(categories=[*tools['CATEGORIES'], dict(id=9, name='dog kennel', supercategory='background')])
    with pytest.raises(TaxonomyError, match=r"segmentation class listed more than once: \['background'\]"):
        file.taxonomy()
    assert file.taxonomy(background='ground').stuff_classes == ('ground',)


def annotation(**changes):
    return [dict(dict(id=1, image_id=42, category_id=7, segmentation=[[0, 0, 2, 0, 2, 2]]), **changes)]


def segments(*items):
    return [dict(image_id=42, file_name='a.png', segments_info=list(items))]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(images=None),
            r"not an annotation file of COCO, which has lists 'images', 'categories' and 'annotations'$",
        ),
        (
            dict(images=[dict(id=1, file_name='a.png')]),
            'image number 1 of the list: it has height=None, width=None; required',
        ),
        (
            dict(images=[dict(id='x', file_name='a', height=1, width=1)]),
            r"image number 1 .* has id='x'; required are id \(",
        ),
        (dict(categories=[dict(id=1, name='a'), 'b']), "category number 2 of the list: it has 'b', 'b'; required are"),
        (dict(categories=[dict(id=i, name='a') for i in (1, 2)]), "several categories have the name 'a'; each needs"),
        (dict(categories=[dict(id=1, name=n) for n in 'ab']), 'several categories have the id 1; each needs one'),
        (dict(annotations=annotation(image_id=1)), "annotation 1 of image 1: 'images' does not list that image"),
        (
            dict(annotations=annotation(category_id=1)),
            r'1 of image 42: it has the category_id 1, .* are \[3, 7, 40\]; fix',
        ),
        (dict(annotations=annotation(id=None)), 'annotation number 1 of the list: it has id=None; required are id'),
        (dict(annotations=annotation() * 2), 'several annotations have the id 1; each needs'),
        (
            dict(annotations=annotation(segmentation=[[0, 0, 2, 2]])),
            'annotation 1 of image 42: a polygon of it is not ',
        ),
        (dict(annotations=annotation(segmentation=None)), 'annotation 1 of image 42: it has no segmentation'),
        (
            dict(annotations=annotation(segmentation=dict(size=[8, 6], counts=[48]))),
            r'size \[8, 6\], but the picture is',
        ),
        (dict(annotations=dict()), r'not an annotation file of COCO, which has lists'),
        (dict(images=[dict(id=1, file_name='a', height=0, width=5)]), 'image 1 is 5x0 pixels large; write its true'),
        (
            dict(annotations=annotation(category_id=[7])),
            r'1 of image 42: it has the category_id \[7\], and the ids',
        ),
        (dict(annotations=annotation(segmentation=[[0, 0, 2, 0, 2, 1e8]])), 'annotation 1 .* far outside the picture'),
        (dict(annotations=segments(5)), 'segment 5 of image 42: a dict with id and category_id is needed'),
        (
            dict(annotations=segments(dict(id=2**24, category_id=7))),
            'segment 16777216 of image 42: the id is a colour',
        ),
    ],
)
def test_what_is_wrong_is_named(read, changes, message):
    with pytest.raises(DataError, match=r'instances\.json: .*' + message):
        read(**changes)


def test_ids_may_count_from_0(read, tools):
    number = {category['id']: i for i, category in enumerate(tools['CATEGORIES'])}
    categories = [dict(category, id=number[category['id']]) for category in tools['CATEGORIES']]
    annotations = [dict(item, category_id=number[item['category_id']]) for item in tools['ANNOTATIONS']]
    file = read(categories=categories, annotations=annotations)
    assert list(file.category_names) == [0, 1, 2]
    assert file.taxonomy() == read().taxonomy()


def test_an_address_is_not_a_file_name(read, tools):
    images = [dict(image, file_name='https://images.example/a.png') for image in tools['IMAGES']]
    message = r"image \d+ has the file_name 'https://images\.example/a\.png', an address; download the pictures"
    with pytest.raises(DataError, match=message):
        read(images=images)


def test_all_annotations_that_cannot_be_used_are_named(read, tools, tmp_path):
    """Of three a part has two points, of 60 there is no outline; the others can be used."""
    line, good = [[0, 0, 2, 2]], [[0, 0, 2, 0, 2, 2]]
    wrong = [annotation(id=i, segmentation=line)[0] for i in (2, 5, 8)]
    wrong += [annotation(id=i, segmentation=[])[0] for i in range(100, 160)]
    message = (
        '63 annotations cannot be used: annotation 2 of image 42, annotation 5 of image 42, annotation 8 of image 42: '
        'a polygon of it .*annotation 100 of image 42, .* annotation 149 of image 42: it has no segmentation.*'
        'annotation 159 of image 42: it has no segmentation'
    )
    with pytest.raises(DataError) as raised:
        read(annotations=[*wrong, *annotation(segmentation=good)])
    assert re.search(message, raised.value.args[0])
    problems: list = []
    file = read_coco(str(tmp_path / 'instances.json'), problems=problems)
    assert [problem.args[0].count('annotation ') for problem in problems] == [3, 50, 10]
    assert [item['id'] for item in file.annotations[42]] == [1]


def test_a_root_without_annotations_is_not_a_category(read, tools):
    """As Roboflow exports it, of which all others are kinds. With annotations it is one like any other."""
    root = dict(id=0, name='animal', supercategory='none')
    file = read(categories=[root, *tools['CATEGORIES']])
    assert file.placeholders == ['animal']
    assert file.taxonomy().classes == ('background', 'animal', 'kitchen')
    assert file.taxonomy().fine_classes == ('dog', 'cat', 'cup')
    assert read(categories=[root, *tools['CATEGORIES']], annotations=annotation(category_id=0)).placeholders == []
    assert read(categories=[dict(root, supercategory='animal'), *tools['CATEGORIES']]).placeholders == []


def test_images_of_one_id_are_an_error(read, tools):
    with pytest.raises(DataError, match=r'\.json: several images have the id 42, 7, 300; each needs one of its'):
        read(images=tools['IMAGES'] * 2)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"images": [', r'a\.json: not JSON \(.*\); export or copy the file again'),
        (json.dumps([dict(image_id=1, score=0.5)]), 'not an annotation file of COCO, .*; a list of results is not one'),
        ('\xff', 'not JSON'),
    ],
)
def test_what_is_no_annotation_file_is_said(tmp_path, content, message):
    (tmp_path / 'a.json').write_bytes(content.encode('latin-1'))
    with pytest.raises(DataError, match=message):
        read_coco(str(tmp_path / 'a.json'))
    with pytest.raises(DataError, match=r'b\.json: no such file'):
        read_coco(str(tmp_path / 'b.json'))
