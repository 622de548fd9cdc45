"""The parts of the command that makes masks, with answers by hand; the whole is in tests/tools/dataset_converters."""

import dataclasses
import json
from argparse import Namespace

import cv2
import numpy as np
import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.structures import TaxonomyError
from deepunetto_mm.threshold_masks import ThresholdOptions
from deepunetto_mm.threshold_masks.converter import (
    JOURNAL,
    Converter,
    find_pictures,
    in_parallel,
    iou,
    is_record,
    options_of,
    read_rgb,
    require_alike,
    write_sheet,
    write_table,
    write_taxonomy,
)
from deepunetto_mm.threshold_masks.labelled_pictures import LabelledPicture, make_taxonomy
from deepunetto_mm.utils.errors import UsageError

FRUIT = make_taxonomy({'apple': ['gala'], 'citrus': ['lime']})
# A dark square of 4x4 pixels in the middle of a bright picture: a twentieth of it, and at no border.
SQUARE = np.zeros((16, 20), bool)
SQUARE[6:10, 8:12] = True


@pytest.fixture
def write(tmp_path):
    def write(path, dark=SQUARE):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((*dark.shape, 3), (30, 120, 210), np.uint8)  # BGR
        image[dark] = (10, 20, 30)
        cv2.imwrite(str(file), image)
        return file

    return write


def arguments(images, **options):
    defaults = dict(table=None, classes=None, suffix=None, split=None, group='fruit')
    return Namespace(**{**defaults, 'images': str(images), **options})


def converter(folder, min_quality=0.0, copy=False, skip_errors=False):
    args = Namespace(min_quality=min_quality, copy=copy, skip_errors=skip_errors)
    return Converter(folder, ThresholdOptions(), FRUIT, args)


def test_options_are_those_of_the_command_line_but_for_others():
    chosen = ThresholdOptions(polarity='dark', min_part=0.5)
    args = Namespace(**dataclasses.asdict(chosen), workers=3)
    assert options_of(args) == chosen
    assert options_of(args, method='li') == dataclasses.replace(chosen, method='li')


def test_iou_by_hand():
    one, other = np.array([1, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 1], bool)
    assert iou(one, other) == 2 / 5
    assert iou(one, ~one) == 0
    assert iou(one & ~one, one & ~one) == 1


# ------------------------------------------------------------------------------------------------------ pictures
def test_folders_give_pictures_and_a_taxonomy_of_one_group(write, tmp_path):
    files = [write('in/lime/1.png'), write('in/gala/b/2.png')]
    pictures, taxonomy = find_pictures(arguments(tmp_path / 'in', split='val'))
    assert pictures == [
        LabelledPicture('gala/b/2', files[1], 'gala', 'val'),
        LabelledPicture('lime/1', files[0], 'lime', 'val'),
    ]
    assert taxonomy == make_taxonomy({'fruit': ['gala', 'lime']})


def test_a_table_gives_splits_whose_folders_are_not_repeated_in_names(write, tmp_path):
    files = [write(f'in/{name}.png') for name in ('train/1', 'train/2', 'val/1')]
    table = tmp_path / 'table.csv'
    table.write_text('image,fine_class,split\ntrain/1,lime,train\ntrain/2,,train\nval/1,gala,val\n')
    pictures, taxonomy = find_pictures(arguments(tmp_path / 'in', table=str(table)))
    assert [(one.split, one.name, one.fine_class, one.path) for one in pictures] == [
        ('train', '1', 'lime', files[0]),
        ('train', '2', '', files[1]),
        ('val', '1', 'gala', files[2]),
    ]
    # Of all rows, whichever of them are read.
    assert taxonomy == find_pictures(arguments(tmp_path / 'in', table=str(table), split='val'))[1]
    assert taxonomy.fine_classes == ('gala', 'lime')


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ('1,,', 'no picture has a fine class'),
        ('1,lime,../x', "the split '../x' is not a valid folder name"),
        ('a/1,lime,a\na/a/1,lime,a\n1,lime,a', "would both be picture '1'; rename one"),
    ],
)
def test_what_is_wrong_with_pictures(write, tmp_path, rows, message):
    for name in ('1', 'a/1', 'a/a/1'):
        write(f'in/{name}.png')
    (tmp_path / 'table.csv').write_text(f'image,fine_class,split\n{rows}\n')
    with pytest.raises(DataError, match=message):
        find_pictures(arguments(tmp_path / 'in', table=str(tmp_path / 'table.csv')))


def test_a_picture_without_name_needs_a_taxonomy_of_one_group(write, tmp_path):
    write('in/1.png')
    (tmp_path / 'table.csv').write_text('image,fine_class\n1,\n')
    (tmp_path / 'classes.csv').write_text('fine,coarse\nlime,citrus\ngala,apple\n')
    options = dict(table=str(tmp_path / 'table.csv'), classes=str(tmp_path / 'classes.csv'))
    with pytest.raises(DataError, match=r'1\.png: no fine class, which determines its generic class'):
        find_pictures(arguments(tmp_path / 'in', **options))
    (tmp_path / 'table.csv').write_text('image,fine_class\n1,kiwi\n')
    with pytest.raises(TaxonomyError, match="'kiwi' is not a fine class"):
        find_pictures(arguments(tmp_path / 'in', **options))


def test_a_picture_is_read_as_red_green_and_blue(write):
    image = read_rgb(write('a.png'))
    assert image.shape == (16, 20, 3)
    assert image[0, 0].tolist() == [210, 120, 30]
    assert image[7, 9].tolist() == [30, 20, 10]


def test_work_is_given_back_in_its_order():
    assert list(in_parallel(lambda n: n * n, [3, 1, 2], 2, 'squares')) == [9, 1, 4]
    with pytest.raises(UsageError, match='--workers must be at least 1, got 0'):
        next(in_parallel(str, [1], 0, 'none'))


# ------------------------------------------------------------------------------------------------------ the dataset
def test_a_picture_becomes_a_mask_and_a_link(write, tmp_path):
    picture = LabelledPicture('lime/1', write('in/1.png'), 'lime', 'val')
    row = converter(tmp_path / 'out')(picture)
    names = dict(place='val/lime/1', suffix='.png', split='val', image='lime/1', fine_class='lime', status='kept')
    # Two uniform sides: perfectly separable; 16 of 320 pixels are a twentieth, the least that is plausible.
    figures = dict(polarity='dark', area=0.05, separability=1.0, border=0.0, score=1.0)
    assert row == {**row, **names, **figures}
    mask = cv2.imread(str(tmp_path / 'out/masks/val/lime/1.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, 2 * SQUARE)  # citrus is the second group
    image = tmp_path / 'out/images/val/lime/1.png'
    assert image.is_symlink()
    assert image.resolve() == picture.path.resolve()


def test_copies_and_pictures_of_a_low_score(write, tmp_path):
    half = np.zeros((16, 20), bool)
    half[:, :10] = True  # at half of the border
    pictures = [LabelledPicture('1', write('in/1.png')), LabelledPicture('2', write('in/2.png', half))]
    rows = converter(tmp_path / 'out', min_quality=0.6, copy=True).run(pictures, 1)
    assert [(row['image'], row['status'], row['score']) for row in rows] == [('1', 'kept', 1.0), ('2', 'dropped', 0.5)]
    assert (tmp_path / 'out/images/1.png').read_bytes() == pictures[0].path.read_bytes()
    assert not (tmp_path / 'out/images/1.png').is_symlink()
    assert not (tmp_path / 'out/images/2.png').exists()
    lines = (tmp_path / 'out' / JOURNAL).read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    # Later runs begin with the journal, and a picture that is no longer wanted goes.
    assert converter(tmp_path / 'out').journal == {row['place']: row for row in rows}
    converter(tmp_path / 'out').run(pictures[1:], 1)
    assert [path.name for path in (tmp_path / 'out/images').iterdir()] == ['2.png']


def test_errors_are_raised_or_listed(write, tmp_path):
    file = write('in/1.png')
    file.write_bytes(file.read_bytes()[:-20])
    picture = LabelledPicture('1', file)
    with pytest.raises(DataError, match='the file is truncated'):
        converter(tmp_path / 'out')(picture)
    row = converter(tmp_path / 'out', skip_errors=True)(picture)
    assert row.pop('status').startswith(f'error: {file}: the file is truncated')
    assert row == dict(place='1', suffix='.png', split='', image='1', fine_class='')


@pytest.mark.parametrize(
    ('record', 'is_one'),
    [
        (dict(place='val/1', suffix='.png', split='val'), True),
        (dict(place='1', suffix='.png', split='', key='k', score=0.5), True),
        (dict(place='1', suffix='.png', split='', key='k'), False),
        (dict(place='1', suffix='.png', split=3), False),
        (dict(place='../1', suffix='.png', split=''), False),
        (dict(place='/etc/1', suffix='.png', split=''), False),
        (['place', 'suffix', 'split'], False),
    ],
)
def test_a_record_names_files_of_the_output_alone(record, is_one):
    assert is_record(record) is is_one


# ------------------------------------------------------------------------------------------------------ its tables
def test_rows_of_other_splits_remain_in_a_table(tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_text('split,image\ntrain,1\nval,2\n')
    write_table(path, ('split', 'image', 'score'), [dict(split='val', image='a,b', more=1, score=0.5)], {'val'})
    assert path.read_text() == 'split,image,score\ntrain,1,\nval,"a,b",0.5\n'


def test_pictures_with_and_without_a_split_are_not_mixed(tmp_path):
    table = tmp_path / 'quality.csv'
    require_alike(table, {''})
    table.write_text('split,image\ntrain,1\n')
    require_alike(table, {'val'})
    with pytest.raises(UsageError, match='is of pictures with splits; use another folder'):
        require_alike(table, {''})
    table.write_text('split,image\n,1\n')
    with pytest.raises(UsageError, match='is of pictures without splits'):
        require_alike(table, {'val'})


def test_a_folder_has_one_taxonomy(tmp_path):
    path = tmp_path / 'taxonomy.json'
    write_taxonomy(path, FRUIT)
    assert json.loads(path.read_text()) == dict(taxonomy=FRUIT.to_dict())
    write_taxonomy(path, FRUIT)
    with pytest.raises(UsageError, match='has another taxonomy'):
        write_taxonomy(path, make_taxonomy({'apple': ['gala']}))
    path.write_text('[]')
    with pytest.raises(UsageError, match="has no 'taxonomy'"):
        write_taxonomy(path, FRUIT)


def test_a_sheet_shows_pictures_from_the_worst_score_to_the_best(write, tmp_path, monkeypatch):
    from deepunetto_mm.threshold_masks import converter as module

    captions = []
    monkeypatch.setattr(module, 'mask_tile', lambda image, mask, text: captions.append(text) or np.zeros((2, 2, 3)))
    pictures = [LabelledPicture(str(i), write(f'{i}.png')) for i in range(6)]
    rows = [dict(place=str(i), image=str(i), fine_class='lime', status='kept') for i in range(6)]
    for row, score in zip(rows, (0.9, 0.1, None, 0.5, 0.3, 0.7)):
        row.update({} if score is None else dict(score=score))
    write_sheet(tmp_path / 'sheet.png', rows, pictures, ThresholdOptions(), 3)
    assert captions == ['0.10 kept lime 1', '0.50 kept lime 3', '0.90 kept lime 0']
    assert (tmp_path / 'sheet.png').is_file()
    write_sheet(tmp_path / 'none.png', rows[2:3], pictures[2:3], ThresholdOptions(), 3)
    assert not (tmp_path / 'none.png').exists()
