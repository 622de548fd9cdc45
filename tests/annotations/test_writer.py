import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.annotations import Annotations, export_dataset, read_annotations, write_dataset, writer
from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.utils.errors import DataError, UsageError


def _table(written):
    return (written.root / 'labels.csv').read_text().splitlines()


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


def test_ids_of_more_than_16_bits_are_renumbered(annotated, folders, tmp_path, monkeypatch):
    annotated.write_picture(tmp_path / 'in/images/a.png')
    ids = np.zeros((30, 40), np.int32)
    ids[annotated.RING], ids[annotated.SQUARE] = 70_000, 1_000_000
    (tmp_path / 'in/regions').mkdir()
    Image.fromarray(ids).save(tmp_path / 'in/regions/a.tif')
    (tmp_path / 'in/labels.csv').write_text('image,region,fine_class\na,70000,round\na,1000000,long\n')
    written = folders({})
    np.testing.assert_array_equal(read_map(written.root / 'regions/a.png'), annotated.RING + 2 * annotated.SQUARE)
    assert _table(written)[1:] == ['a,1,round', 'a,2,long']
    annotated.write_picture(tmp_path / 'in/images/b.png')
    Image.fromarray(np.arange(30 * 40, dtype=np.int32).reshape(30, 40)).save(tmp_path / 'in/regions/b.tif')
    monkeypatch.setattr(writer, '_LARGEST_ID', 1000)
    written = folders({})
    assert [path.name for path in (written.root / 'regions').iterdir()] == ['a.png']
    assert ['1199 objects, and at most 998' in str(error) for error in written.problems] == [True]


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


def test_masks_of_1_beside_masks_of_255_are_refused(annotated, folders):
    ring, square = annotated.RING.astype(np.uint8), annotated.SQUARE.astype(np.uint8)
    with pytest.raises(DataError, match=r'a\.png has the values 0 and 1, and .*b\.png has 0 and 255: 255 is ignored'):
        folders(dict(a=ring, b=255 * square))
    assert folders(dict(a=ring, b=ring + 255 * square)).composed == ['background', 'object']


@pytest.mark.parametrize('classes', [None, ['background', 'cell']])
def test_a_mask_of_1_and_255_says_that_255_is_ignored_in_all(annotated, folders, classes):
    ring, square = annotated.RING.astype(np.uint8), annotated.SQUARE.astype(np.uint8)
    masks = dict(a=ring, b=255 * square, c=ring + 255 * square)
    written = folders(masks, classes=classes)
    assert written.problems == []
    assert written.taxonomy.classes == ('background', 'cell' if classes else 'object')
    for name, mask in masks.items():
        np.testing.assert_array_equal(read_map(written.root / f'masks/{name}.png'), mask)


def test_a_number_of_two_colours_is_refused_unless_the_colours_are_known(annotated, tmp_path):
    for name, colour in dict(a=(255, 0, 0), b=(0, 255, 0), c=(255, 0, 0)).items():
        annotated.write_picture(tmp_path / f'in/images/{name}.png', seed=ord(name))
        mask = Image.fromarray(annotated.RING.astype(np.uint8), 'P')
        mask.putpalette([0, 0, 0, *colour])
        (tmp_path / 'in/masks').mkdir(exist_ok=True)
        mask.save(tmp_path / f'in/masks/{name}.png')
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    (problem,) = written.problems
    one, other = tmp_path / 'in/masks/a.png', tmp_path / 'in/masks/b.png'
    assert f'{other}: 1 is the colour 00ff00 in its palette, and ff0000 in that of {one}: give' in str(problem)
    assert sorted(path.name for path in (tmp_path / 'out/masks').iterdir()) == ['a.png', 'c.png']
    (tmp_path / 'in/class_dict.csv').write_text('name,r,g,b\nbackground,0,0,0\nred,255,0,0\ngreen,0,255,0\n')
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    np.testing.assert_array_equal(read_map(written.root / 'masks/b.png'), 2 * annotated.RING)


def test_objects_without_a_pixel_are_counted(annotated, labelme, tmp_path):
    shape, box = annotated.shape, annotated.box
    inside, outside = shape('cell', box(4, 5, 10, 10)), shape('cell', box(400, 5, 10, 10))
    written = labelme({'a': [inside, outside, inside], 'b': [inside, shape('background', box(0, 50, 4, 4))]})
    (note,) = written.notes
    assert note.startswith(f'2 objects have no pixel and are left out, such as in {tmp_path / "in/a.json"}: they are')


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
    (tmp_path / 'in/classes.json').write_text('{"stuff": ["sky"], "kinds": {"thing": ["ring"]}}')
    with pytest.raises(UsageError, match='--fine-key folder: the values of the masks are names of objects already'):
        write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out', fine_key='folder')


@pytest.mark.parametrize('tool', ['coco', 'yolo'])
def test_pictures_in_no_split_beside_others_are_trained_on(annotated, labelme, tmp_path, tool):
    shapes = [annotated.shape('cell', annotated.box(1, 1, 5, 5))]
    written = labelme({'a': shapes, 'val/b': shapes})
    assert written.splits == {'train/a': 'train', 'val/b': 'val'}
    assert written.notes[0] == '1 of 2 pictures are in no split: train'
    assert export_dataset(written, tool, tmp_path / 'exported') == 2
    assert (tmp_path / 'exported/images/train/a.png').is_file()


def test_a_mask_of_unknown_labels_is_left_out(annotated, folders, tmp_path):
    ring = annotated.RING.astype(np.uint8)
    written = folders(dict(a=ring, b=3 * ring), classes=['sky', 'ring'])
    (problem,) = written.problems
    assert 'b.png: the values [3] have no class, there are 0..1' in str(problem)
    for folder in ('images', 'masks'):
        assert [path.name for path in (tmp_path / 'out' / folder).iterdir()] == ['a.png']
    with pytest.raises(DataError, match=r'no picture can be used, of 2: .*a\.png: the values \[2\] have no class'):
        folders(dict(a=2 * ring, b=2 * ring), classes=['sky', 'ring'])


def test_a_picture_of_too_many_pixels_is_left_out(annotated, labelme, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(DataError, match=r'no picture can be used, of 1: .*a\.png: .*exceeds limit of'):
        labelme({'a': [annotated.shape('cell', annotated.box(1, 1, 5, 5))]})


def test_names_that_no_object_has_cannot_be_renamed(annotated, labelme):
    with pytest.raises(
        UsageError, match=r"--rename netrophil=.* called so \(there is 'neutrophil'\); names: cell, neu"
    ):
        labelme({'a': [annotated.shape('cell/neutrophil', annotated.box(1, 1, 5, 5))]}, renamed=dict(netrophil='x'))


def test_names_of_masks_are_renamed(annotated, folders, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,longg\n')
    written = folders(dict(a=annotated.RING.astype(np.uint8)), renamed=dict(longg='long'))
    assert _table(written)[1:] == ['a,,long']
    with pytest.raises(UsageError, match=r"--rename long=.* called so \(there is 'longg'\); names: longg"):
        folders({}, renamed=dict(long='x'))


def test_pictures_of_equal_names_are_left_out_and_the_others_written(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'in/cat/a.jpg')
    for name in ('cat/a.png', 'cat/b.png', 'dog/a.png'):
        annotated.write_picture(tmp_path / 'in' / name)
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    one, other = (tmp_path / f'in/cat/a.{suffix}' for suffix in ('jpg', 'png'))
    assert [str(problem) for problem in written.problems] == [
        f"{one} and {other} have the same name, 'cat/a'; rename all but one"
    ]
    assert sorted(path.parent.name for path in (tmp_path / 'out/images').rglob('*.png')) == ['cat', 'dog']
    found.scenes = [found.scenes[-1], replace(found.scenes[-1])]
    with pytest.raises(DataError, match=r'dog/a\.png is annotated 2 times, in .*dog/a\.png; keep one of them'):
        write_dataset(found, tmp_path / 'out')


def test_a_wrong_option_leaves_the_earlier_dataset_as_it_is(annotated, labelme, tmp_path):
    pictures = {'a': [annotated.shape('cell/round', annotated.box(1, 1, 5, 5))]}
    labelme(pictures)
    with pytest.raises(UsageError, match='--rename rond='):
        labelme(pictures, renamed=dict(rond='x'))
    assert (tmp_path / 'out/labels.csv').read_text() == 'image,region,fine_class\na,1,round\n'


@pytest.mark.parametrize('exists', [True, False])
def test_the_output_folder_may_be_a_link(annotated, labelme, tmp_path, exists):
    if exists:
        (tmp_path / 'disk').mkdir()
    (tmp_path / 'out').symlink_to(tmp_path / 'disk')
    pictures = {'a': [annotated.shape('cell/round', annotated.box(1, 1, 5, 5))]}
    for _ in range(2):  # the second one replaces the first one
        labelme(pictures)
    assert (tmp_path / 'out').is_symlink()
    assert (tmp_path / 'disk/labels.csv').read_text() == 'image,region,fine_class\na,1,round\n'
    assert (tmp_path / 'in/a.png').is_file()


def test_an_earlier_dataset_that_cannot_be_removed_is_named(annotated, labelme, tmp_path, monkeypatch):
    pictures = {'a': [annotated.shape('cell/round', annotated.box(1, 1, 5, 5))]}
    labelme(pictures)

    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(writer.shutil, 'rmtree', refuse)
    with pytest.raises(
        UsageError, match=rf'{tmp_path / "out"} cannot be emptied \(.*Permission denied.*; remove it, or'
    ):
        labelme(pictures)


def test_spaces_around_the_name_of_a_file_are_taken_away(annotated, labelme, tmp_path):
    written = labelme({' a': [annotated.shape('cell/round', annotated.box(1, 1, 5, 5))]})
    assert [path.name for path in (written.root / 'images').iterdir()] == ['a.png']


def test_names_of_mask_values_where_there_are_none(annotated, labelme, tmp_path):
    with pytest.raises(UsageError, match='--classes names the values of masks, and none are read here: leave it out'):
        labelme(dict(a=[annotated.shape('cell', annotated.box(2, 2, 9, 9))]), classes=['background', 'cell'])
    assert not (tmp_path / 'out').exists()


def test_names_of_mask_values_beside_a_taxonomy(annotated, folders, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/classes.json').write_text(json.dumps(dict(classes=['sky', 'ring'])))
    with pytest.raises(UsageError, match='--classes: a file in the folder gives a taxonomy, which has the names'):
        folders(dict(a=annotated.RING.astype(np.uint8)), classes=['background', 'cell'])
