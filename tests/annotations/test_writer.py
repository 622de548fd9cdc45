import json

import cv2
import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.annotations import Annotations, read_annotations, write_dataset
from deepunetto_mm.annotations.scenes import read_map
from deepunetto_mm.ops import touching_regions
from deepunetto_mm.utils.errors import DataError, UsageError


@pytest.fixture
def labelme(annotated, tmp_path):
    """Write pictures and read and write them; options go to ``write_dataset``."""

    def write(pictures, **options):
        for name, shapes in pictures.items():
            annotated.write_labelme(tmp_path / 'in' / f'{name}.json', shapes)
        _, found = read_annotations(str(tmp_path / 'in'))
        return write_dataset(found, tmp_path / 'out', **options)

    return write


def _table(written):
    return (written.root / 'labels.csv').read_text().splitlines()


def test_touching_regions():
    regions = np.array([[1, 0, 2, 2], [1, 0, 0, 0], [0, 0, 0, 9], [3, 0, 0, 0]])
    assert touching_regions(regions) == {(1, 2), (1, 3), (2, 9)}
    assert touching_regions(np.zeros((1, 1), int)) == set()


def test_regions_masks_and_names_of_objects(annotated, labelme):
    shape, box = annotated.shape, annotated.box
    written = labelme(
        {
            'a': [
                shape('cell/round', box(7, 8, 4, 4)),
                shape('cell', box(4, 5, 10, 10)),
                shape('ignore', box(0, 0, 40, 10)),
                shape('background', box(4, 5, 1, 1)),
            ],
            'b': [],
        }
    )
    regions, mask = (read_map(written.root / folder / 'a.png') for folder in ('regions', 'masks'))
    # The smaller one lies on the larger one, and both on what is ignored.
    expected = np.zeros((30, 40), int)
    expected[5:15, 4:14] = 1
    expected[8:12, 7:11] = 2
    expected[5, 4] = 0
    np.testing.assert_array_equal(regions, expected)
    np.testing.assert_array_equal(
        mask, np.where(expected, 1, np.where(np.arange(30)[:, None] < 10, 255, 0)) * (1 - _at(5, 4))
    )
    assert _table(written) == ['image,region,fine_class', 'a,2,round']
    assert written.taxonomy.to_dict() == dict(
        classes=['background', 'cell'],
        groups=[dict(name='cell', members=['cell'], fine_classes=['round'])],
        ignore_index=255,
    )
    assert not read_map(written.root / 'masks' / 'b.png').any()
    assert (written.root / 'images' / 'b.png').is_symlink()


def _at(row, column):
    pixel = np.zeros((30, 40), int)
    pixel[row, column] = 1
    return pixel


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


def test_names_from_attributes_and_other_names(annotated, labelme):
    box = annotated.box(1, 1, 5, 5)
    shapes = [
        annotated.shape('cell', box, description='type=round'),
        annotated.shape('Cell', annotated.box(20, 1, 5, 5), description='type=longg'),
    ]
    written = labelme({'a': shapes}, renamed=dict(Cell='cell', longg='long'))
    assert written.taxonomy.groups[0].fine_classes == ('long', 'round')
    assert "fine classes are from the attribute 'type': round (1), longg (1)" in written.notes
    with pytest.raises(DataError, match=r"no object has the attribute 'typ' \(there is 'type'\)"):
        labelme({'a': shapes}, fine_key='typ')


def test_names_of_two_kinds_are_distinguished(annotated, labelme):
    names = ['cell/round', 'vessel/round', 'vessel/long']
    shapes = [annotated.shape(name, annotated.box(9 * i, 1, 5, 5)) for i, name in enumerate(names)]
    written = labelme({'a': shapes})
    assert written.taxonomy.fine_classes == ('cell round', 'long', 'vessel round')


def test_no_object_at_all_is_an_error(labelme):
    with pytest.raises(DataError, match='no picture has an object'):
        labelme({'a': []})


@pytest.fixture
def folders(annotated, tmp_path):
    """Write pictures and maps, and read and write them."""

    def write(masks, regions=None, **options):
        for folder, maps in (('masks', masks), ('regions', regions or {})):
            for name, values in maps.items():
                annotated.write_picture(tmp_path / f'in/images/{name}.png', sum(map(ord, name)))
                annotated.write_map(tmp_path / f'in/{folder}/{name}.png', values)
        _, found = read_annotations(str(tmp_path / 'in'))
        return write_dataset(found, tmp_path / 'out', **options)

    return write


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


def test_masks_that_are_pictures_are_refused(annotated, folders):
    with pytest.raises(DataError, match='256 values up to 255: pictures'):
        folders(dict(a=(np.arange(1200) % 256).astype(np.uint8).reshape(30, 40)))


def test_a_table_makes_one_kind_of_all_classes_but_the_first(annotated, folders, tmp_path):
    mask = annotated.RING.astype(np.uint8) + 2 * annotated.SQUARE.astype(np.uint8)
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,round\nb,long\n')
    written = folders(dict(a=mask, b=mask), classes=['background', 'body', 'core'])
    assert written.taxonomy.to_dict()['groups'] == [
        dict(name='object', members=['body', 'core'], fine_classes=['long', 'round'])
    ]
    assert _table(written) == ['image,region,fine_class', 'a,,round', 'b,,long']


def test_ids_of_more_than_16_bits_are_renumbered(annotated, folders, tmp_path):
    annotated.write_picture(tmp_path / 'in/images/a.png')
    ids = np.zeros((30, 40), np.int32)
    ids[annotated.RING], ids[annotated.SQUARE] = 70_000, 1_000_000
    (tmp_path / 'in/regions').mkdir()
    Image.fromarray(ids).save(tmp_path / 'in/regions/a.tif')
    (tmp_path / 'in/labels.csv').write_text('image,region,fine_class\na,70000,round\na,1000000,long\n')
    written = folders({})
    np.testing.assert_array_equal(read_map(written.root / 'regions/a.png'), annotated.RING + 2 * annotated.SQUARE)
    assert _table(written)[1:] == ['a,1,round', 'a,2,long']


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda path: path.write_bytes(b'no picture'), 'not a picture, or a damaged one'),
        (
            lambda path: Image.new('L', (41, 30)).save(path),
            r'the annotation is 41x30 pixels, but its picture \S+a\.png 40x30',
        ),
        (lambda path: Image.new('RGB', (40, 30), (1, 2, 3)).save(path), r'shape \(30, 40, 3\), a colour picture'),
        (lambda path: (Image.new('L', (40, 30)).save(path.with_suffix('.jpg')), path.unlink()), 'labels in JPEG'),
    ],
)
def test_faulty_masks_are_named_and_left_out(annotated, folders, tmp_path, spoil, message):
    masks = dict(a=annotated.RING.astype(np.uint8), b=annotated.SQUARE.astype(np.uint8))
    folders(masks)
    spoil(tmp_path / 'in/masks/a.png')
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    (problem,) = written.problems
    assert str(tmp_path / 'in/masks/a') in str(problem)
    with pytest.raises(DataError, match=message):
        raise problem
    assert [path.name for path in (tmp_path / 'out/masks').iterdir()] == ['b.png']


def test_other_suffixes_are_written_again(annotated, tmp_path):
    for name in ('a.PNG', 'b.png', 'c.bmp'):
        annotated.write_picture(tmp_path / 'in' / name)
        mask = annotated.RING.astype(np.uint8)
        annotated.write_map(tmp_path / 'in' / f'{name[0]}_mask.png', mask)
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    assert written.img_suffix == '.png'
    assert sorted(path.name for path in (tmp_path / 'out/images').iterdir()) == ['a.png', 'b.png', 'c.png']
    same = cv2.imread(str(tmp_path / 'out/images/c.png'))
    np.testing.assert_array_equal(same, cv2.imread(str(tmp_path / 'in/c.bmp')))
    assert 'were written again as .png' in written.notes[0]


@pytest.mark.parametrize(('shape', 'turned'), [((40, 30), True), ((30, 40), False)])
def test_photographs_are_turned_as_their_annotation_is(annotated, tmp_path, shape, turned):
    (tmp_path / 'in').mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.new('RGB', (40, 30)).save(tmp_path / 'in/a.jpg', exif=exif)
    annotated.write_map(tmp_path / 'in/a_mask.png', np.eye(*shape, dtype=np.uint8))
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    assert cv2.imread(str(tmp_path / 'out/images/a.jpg')).shape[:2] == shape
    assert (tmp_path / 'out/images/a.jpg').is_symlink() == turned
    assert any('written again as it is stored' in note for note in written.notes) != turned


def test_a_folder_of_other_files_stays(annotated, labelme, tmp_path):
    labelme({'a': [annotated.shape('cell', annotated.box(1, 1, 5, 5))]})
    assert json.loads((tmp_path / 'out/classes.json').read_text())['composed'] is None
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').touch()
    with pytest.raises(UsageError, match='holds something else'):
        write_dataset(Annotations(), tmp_path / 'mine')
    assert (tmp_path / 'mine/thesis.txt').exists()


def test_what_was_written_is_read_again(annotated, labelme, tmp_path):
    shape, box = annotated.shape, annotated.box
    pictures = {'a': [shape('cell/round', box(4, 5, 10, 10)), shape('wire/thin', box(24, 12, 8, 8))], 'b': []}
    written = labelme(pictures)
    form, found = read_annotations(str(tmp_path / 'out'))
    assert form == 'folders'
    with pytest.raises(UsageError, match='would be replaced'):
        write_dataset(found, tmp_path / 'out')
    again = write_dataset(found, tmp_path / 'again')
    assert again.taxonomy == written.taxonomy
    assert _table(again) == _table(written)
    for path in ('regions/a.png', 'masks/a.png', 'masks/b.png'):
        np.testing.assert_array_equal(read_map(tmp_path / 'again' / path), read_map(tmp_path / 'out' / path))


def test_a_folder_with_classes_of_a_user_is_not_replaced(labelme, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/classes.json').write_text('["background", "cell"]')
    with pytest.raises(UsageError, match='holds something else'):
        labelme({'a': []})


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
    (tmp_path / 'in/masks/a.png').unlink()
    cv2.imwrite(str(tmp_path / 'in/masks/a.jpg'), 255 * large.astype(np.uint8))
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), large)


def test_masks_of_1_beside_masks_of_255_are_refused(annotated, folders):
    ring, square = annotated.RING.astype(np.uint8), annotated.SQUARE.astype(np.uint8)
    with pytest.raises(DataError, match=r'a\.png has the values 0 and 1, and .*b\.png has 0 and 255: 255 is ignored'):
        folders(dict(a=ring, b=255 * square))
    assert folders(dict(a=ring, b=ring + 255 * square)).composed == ['background', 'object']


def test_masks_drawn_by_transparency(annotated, tmp_path):
    black = np.zeros((30, 40, 3), np.uint8)
    annotated.write_map(tmp_path / 'a.png', np.dstack([black, 255 * annotated.RING.astype(np.uint8)]))
    np.testing.assert_array_equal(read_map(tmp_path / 'a.png'), 255 * annotated.RING.astype(int))
    grey = np.dstack([annotated.RING.astype(np.uint8)] * 3 + [np.full((30, 40), 255, np.uint8)])
    annotated.write_map(tmp_path / 'b.png', grey)
    np.testing.assert_array_equal(read_map(tmp_path / 'b.png'), annotated.RING)


def test_objects_of_colours_of_their_own(annotated, tmp_path):
    colours = np.zeros((30, 40, 3), np.uint8)
    colours[annotated.RING], colours[annotated.SQUARE] = (10, 0, 90), (10, 0, 80)
    annotated.write_picture(tmp_path / 'in/images/a.png')
    annotated.write_map(tmp_path / 'in/masks/a.png', colours)
    with pytest.raises(DataError, match='--masks-are ids if each object has its own'):
        write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    written = write_dataset(read_annotations(str(tmp_path / 'in'), masks_are='ids')[1], tmp_path / 'out')
    np.testing.assert_array_equal(read_map(written.root / 'regions/a.png'), 2 * annotated.RING + annotated.SQUARE)


def test_folders_are_names_if_a_user_says_so(annotated, tmp_path):
    for name in ('benign/1', 'benign/2', 'benign/3', 'benign/4', 'normal/1', 'normal/2', 'normal/3', 'normal/4'):
        annotated.write_picture(tmp_path / f'in/{name}.png', seed=len(name))
        annotated.write_map(tmp_path / f'in/{name}_mask.png', annotated.RING.astype(np.uint8))
    _, found = read_annotations(str(tmp_path / 'in'))
    assert found.notes == ['the folders (benign, normal) are not taken for names; if they are, give --fine-key folder']
    written = write_dataset(found, tmp_path / 'out', fine_key='folder')
    assert written.taxonomy.fine_classes == ('benign', 'normal')
    assert _table(written)[1] == 'benign/1,,benign'
    with pytest.raises(UsageError, match='--fine-key colour: masks have no attributes'):
        write_dataset(found, tmp_path / 'out', fine_key='colour')


def test_white_beside_low_numbers_and_classes_of_such_names_are_ignored(annotated, folders):
    ring, square = annotated.RING.astype(np.uint8), annotated.SQUARE.astype(np.uint8)
    written = folders(dict(a=15 * ring + 255 * square))
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), ring + 255 * square)
    assert written.notes[0] == 'the mask values [0, 15] were read as the classes 0 to 1, and 255 is ignored'
    written = folders(dict(a=ring + 2 * square), classes=['Void', 'unlabeled', 'square'])
    np.testing.assert_array_equal(read_map(written.root / 'masks/a.png'), 255 * ring + square)
    assert written.taxonomy.classes == ('Void', 'square')
    assert 'pixels of unlabeled are ignored' in written.notes
