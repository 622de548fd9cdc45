import cv2
import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.annotations.scenes import Outline
from deepunetto_mm.annotations.taxonomies import taxonomy_of_labels
from deepunetto_mm.utils.errors import DataError


def _table(written):
    return (written.root / 'labels.csv').read_text().splitlines()


def test_labels_that_do_not_touch_are_names_of_one_kind(annotated, labelme):
    shapes = [annotated.shape('round', annotated.box(1, 1, 5, 5)), annotated.shape('long', annotated.box(20, 1, 5, 5))]
    written = labelme({'a': shapes})
    (group,) = written.taxonomy.groups
    assert (group.name, group.fine_classes) == ('object', ('long', 'round'))
    assert _table(written)[1:] == ['a,1,round', 'a,2,long']
    assert 'are taken as the names of one kind' in written.notes[-1]


def test_labels_that_touch_are_classes(annotated, labelme):
    shapes = [annotated.shape('road', annotated.box(1, 1, 5, 5)), annotated.shape('car', annotated.box(6, 1, 5, 5))]
    written = labelme({'a': shapes})
    assert written.taxonomy.classes == ('background', 'car', 'road')
    assert [group.fine_classes for group in written.taxonomy.groups] == [('car',), ('road',)]
    assert 'are segmentation classes of their own: 100 %' in written.notes[-1]


def test_names_of_two_kinds_are_distinguished(annotated, labelme):
    names = ['cell/round', 'vessel/round', 'vessel/long']
    shapes = [annotated.shape(name, annotated.box(9 * i, 1, 5, 5)) for i, name in enumerate(names)]
    written = labelme({'a': shapes})
    assert written.taxonomy.fine_classes == ('cell round', 'long', 'vessel round')


def test_no_object_at_all_is_an_error(labelme):
    with pytest.raises(DataError, match='no picture has an object'):
        labelme({'a': []})


def test_masks_of_0_and_255(annotated, folders):
    written = folders(dict(a=255 * annotated.RING.astype(np.uint8), b=np.zeros((30, 40), np.uint8)))
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), annotated.RING)
    assert written.taxonomy.classes == ('background', 'object')
    assert written.composed == ['background', 'object']
    assert '255 was read as class 1' in written.notes[0]


def test_masks_of_grey_levels(annotated, folders):
    mask = 128 * annotated.RING.astype(np.uint8) + 200 * annotated.SQUARE.astype(np.uint8)
    written = folders(dict(a=mask), classes=['sky', 'ring', 'square'])
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), annotated.RING + 2 * annotated.SQUARE)
    assert written.notes[0] == 'the mask values [0, 128, 200] were read as the classes 0 to 2'
    assert written.taxonomy.classes == ('sky', 'ring', 'square')
    assert not written.taxonomy.groups


def _smooth(mask):
    return cv2.GaussianBlur(255 * mask.astype(np.uint8), (3, 3), 0)


def test_black_and_white_masks_in_jpeg_or_with_smoothed_edges(annotated, folders, tmp_path):
    large = np.zeros((30, 40), bool)
    large[4:26, 5:35] = True
    noise = np.random.default_rng(0).integers(0, 12, (30, 40)).astype(np.uint8)  # as JPEG leaves it around objects
    grey = np.maximum(noise, _smooth(large))
    grey[large] -= noise[large]
    written = folders(dict(a=grey))
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), grey >= 128)
    assert written.taxonomy.classes == ('background', 'object')
    assert 'from 128 on' in written.notes[0]
    assert 'the mask values [0, 1] have no names' in written.notes[1]
    (tmp_path / 'in/masks/a.png').unlink()
    cv2.imwrite(str(tmp_path / 'in/masks/a.jpg'), 255 * large.astype(np.uint8))
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), large)


def test_many_classes_beside_ignored_pixels_are_not_black_and_white(folders):
    mask = np.zeros((30, 40), np.uint8)
    mask[5, :39], mask[6, :11], mask[7, :3] = np.arange(1, 40), np.arange(40, 51), 255
    written = folders(dict(a=mask, b=mask), classes=['background', *(f'class {value}' for value in range(1, 51))])
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), mask)
    assert len(written.taxonomy.classes) == 51
    with pytest.raises(DataError, match='52 values up to 255: pictures, .*or classes that need names'):
        folders(dict(a=mask, b=mask))


def test_masks_that_are_pictures_are_refused(annotated, folders):
    with pytest.raises(DataError, match='256 values up to 255: pictures'):
        folders(dict(a=(np.arange(1200) % 256).astype(np.uint8).reshape(30, 40)))


def test_white_beside_low_numbers_and_classes_of_such_names_are_ignored(annotated, folders):
    ring, square = annotated.RING.astype(np.uint8), annotated.SQUARE.astype(np.uint8)
    written = folders(dict(a=15 * ring + 255 * square))
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), ring + 255 * square)
    assert written.notes[0] == 'the mask values [0, 15] were read as the classes 0 to 1, and 255 is ignored'
    written = folders(dict(a=ring + 2 * square), classes=['Void', 'unlabeled', 'square'])
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), 255 * ring + square)
    assert written.taxonomy.classes == ('Void', 'square')
    assert 'pixels of unlabeled are ignored' in written.notes


def test_names_of_objects_that_no_mask_has_are_an_error(folders, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,round\n')
    with pytest.raises(DataError, match=r"no class but 'background', and objects have names \(round\)"):
        folders(dict(a=np.zeros((30, 40), np.uint8)))


def test_an_object_that_is_called_as_what_is_around_it_is_an_error(annotated, folders, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,background\nb,round\n')
    masks = dict(a=0 * annotated.RING.astype(np.uint8), b=annotated.RING.astype(np.uint8))
    with pytest.raises(
        DataError, match="'background' is what is around the objects, and the name of one: leave it out"
    ):
        folders(masks)
    assert folders(masks, renamed=dict(background='none')).taxonomy.fine_classes == ('none', 'round')


def test_a_table_makes_one_kind_of_all_classes_but_the_first(annotated, folders, tmp_path):
    mask = annotated.RING.astype(np.uint8) + 2 * annotated.SQUARE.astype(np.uint8)
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,round\nb,long\n')
    written = folders(dict(a=mask, b=mask), classes=['background', 'body', 'core'])
    assert written.taxonomy.to_dict()['groups'] == [
        dict(name='object', members=['body', 'core'], fine_classes=['long', 'round'])
    ]
    assert _table(written) == ['image,region,fine_class', 'a,,round', 'b,,long']


def test_more_kinds_than_a_mask_has_values_for_are_an_error():
    def read(number):
        kinds = [Outline(f'kind {index}', '', np.zeros) for index in range(number)]
        return taxonomy_of_labels(kinds, 0.5, [])[0]

    assert len(read(254).classes) == 255
    with pytest.raises(DataError, match=r'255 kinds of objects \(kind 0, .*, and a mask has values for 254'):
        read(255)


def test_a_name_that_is_another_kind_or_the_background_gets_its_kind(annotated, labelme):
    names = ['cell/nucleus', 'cell/background', 'cell/long', 'nucleus']
    written = labelme({'a': [annotated.shape(name, annotated.box(9 * i, 1, 5, 5)) for i, name in enumerate(names)]})
    assert [group.fine_classes for group in written.taxonomy.groups] == [
        ('cell background', 'long', 'cell nucleus'),
        ('nucleus',),
    ]


def test_a_letter_and_its_mark_may_be_two_characters(annotated, labelme):
    shapes = [annotated.shape(name, annotated.box(x, 1, 5, 5)) for x, name in ((1, 'caf\u00e9'), (20, 'cafe\u0301'))]
    written = labelme({'a': [*shapes, annotated.shape('tea', annotated.box(30, 1, 5, 5))]})
    assert written.taxonomy.fine_classes == ('caf\u00e9', 'tea')


def test_black_and_white_of_16_bits(annotated, folders):
    written = folders(dict(a=np.uint16(65535) * annotated.RING.astype(np.uint16)))
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), annotated.RING)
    assert written.notes[0] == 'the masks have the values 0 and 65535: 65535 was read as class 1'
