import re

import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.structures import TaxonomyError
from deepunetto_mm.threshold_masks.labelled_pictures import (
    LabelledPicture,
    list_pictures,
    pictures_of_folders,
    pictures_of_table,
    read_classes,
)

CLASSES = 'fine,fine_id,coarse,coarse_id\nlime,1,citrus,1\ngala,2,apple,0\nlemon,0,citrus,1\nfuji,10,apple,0\n'


@pytest.fixture
def write(tmp_path):
    def write(path, text=''):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding='utf-8')
        return str(file)

    return write


def test_folders_are_classes(write, tmp_path):
    for path in (
        'p/lime/2.jpg',
        'p/lime/1.jpg',
        'p/lime/old/1.jpg',
        'p/fuji/1.jpg',
        'p/notes.txt',
        'p/fuji/.1.jpg',
        'p/.x/1.jpg',
    ):
        write(path)
    found = pictures_of_folders(str(tmp_path / 'p'), split='val')
    assert [(one.name, one.fine_class, one.split) for one in found] == [
        ('fuji/1', 'fuji', 'val'),
        ('lime/1', 'lime', 'val'),
        ('lime/2', 'lime', 'val'),
        ('lime/old/1', 'lime', 'val'),
    ]
    assert found[0].path == tmp_path / 'p/fuji/1.jpg'
    write('p/1.jpg')
    with pytest.raises(DataError, match='1.jpg: this picture is in no folder of a class'):
        pictures_of_folders(str(tmp_path / 'p'))


def test_pictures_end_alike(write, tmp_path):
    write('p/a.jpg')
    write('p/b.JPG')
    with pytest.raises(DataError, match=re.escape("the pictures end in {'.JPG': 1, '.jpg': 1}; select one")):
        list_pictures(str(tmp_path / 'p'))
    assert list(list_pictures(str(tmp_path / 'p'), '.JPG')) == ['b']
    with pytest.raises(DataError, match="none of its 2 files is a picture that ends in '.png'"):
        list_pictures(str(tmp_path / 'p'), '.png')
    with pytest.raises(DataError, match='no such folder'):
        list_pictures(str(tmp_path / 'q'))


def test_folders_of_splits_are_not_classes(write, tmp_path):
    for path in ('p/Train/lime/1.jpg', 'p/val/lime/2.jpg'):
        write(path)
    expected = f"{tmp_path}/p: its folders ['Train', 'val'] are called after splits, and not after classes; give one"
    with pytest.raises(DataError, match=re.escape(expected) + '.*p/Train, with --split train'):
        pictures_of_folders(str(tmp_path / 'p'))
    write('q/test_set/lime/1.jpg')
    with pytest.raises(DataError, match='q/test_set, with --split test'):
        pictures_of_folders(str(tmp_path / 'q'))
    assert pictures_of_folders(str(tmp_path / 'p/Train'), split='train')[0].fine_class == 'lime'
    write('p/lemon/3.jpg')
    assert [one.fine_class for one in pictures_of_folders(str(tmp_path / 'p'))] == ['Train', 'lemon', 'val']
    write('r/train.jpg')
    with pytest.raises(DataError, match='train.jpg: this picture is in no folder of a class'):
        pictures_of_folders(str(tmp_path / 'r'))


def test_a_table_with_and_without_suffixes_and_splits(write, tmp_path):
    for path in ('p/a.jpg', 'p/x/b.jpg', 'p/c.jpg'):
        write(path)
    root = str(tmp_path / 'p')
    table = write('t.csv', 'split,fine_class,image,more\ntrain,lime,a.jpg,1\nval,,x/b,2\n\ntrain,fuji,c,3\n')
    assert pictures_of_table(root, table) == [
        LabelledPicture('a', tmp_path / 'p/a.jpg', 'lime', 'train'),
        LabelledPicture('x/b', tmp_path / 'p/x/b.jpg', '', 'val'),
        LabelledPicture('c', tmp_path / 'p/c.jpg', 'fuji', 'train'),
    ]
    assert [one.name for one in pictures_of_table(root, table, split='val')] == ['x/b']
    plain = write('u.csv', 'image,fine_id\na,1\n')
    assert pictures_of_table(root, plain, split='val', fine_class_of_id={'1': 'lime'}) == [
        LabelledPicture('a', tmp_path / 'p/a.jpg', 'lime', 'val')
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('image,fine_class\nab,lime\n', "line 2: no picture 'ab' in .* \\(there is 'abc'\\)"),
        ('image,fine_class\nabc,lime\nabc.jpg,fuji\n', "line 3: picture 'abc' has a row on line 2 already"),
        ('image,label\nabc,lime\n', "no column 'fine_class' in"),
        ('image,fine_id\nabc,7\n', "line 2: no fine class has the id '7'"),
        ('image,fine_class\nabc,lime,green\n', 'line 2: 3 cells under a header of 2 columns'),
        ('name,fine_class\nabc,lime\n', r"has missing columns \['image'\]"),
        ('image,fine_class\n', 'no row under the header'),
        ('', 'the first line lists the columns, at least image'),
        ('image,image,fine_class\nabc,x,lime\n', r"repeated columns \['image'\]"),
        ('image,fine_class\n"abc,lime\n', 'line 2: not CSV'),
    ],
)
def test_wrong_tables(write, tmp_path, text, message):
    write('p/abc.jpg')
    with pytest.raises(DataError, match=message):
        pictures_of_table(str(tmp_path / 'p'), write('t.csv', text), fine_class_of_id={'1': 'lime'})


def test_classes_are_in_the_order_of_their_ids(write):
    taxonomy, fine_class_of_id = read_classes(write('c.csv', CLASSES))
    assert taxonomy.classes == ('background', 'apple', 'citrus')
    assert taxonomy.fine_classes == ('gala', 'fuji', 'lemon', 'lime')
    assert taxonomy.group_of_class == (-1, 0, 1)
    assert fine_class_of_id == {'1': 'lime', '2': 'gala', '0': 'lemon', '10': 'fuji'}


def test_without_ids_classes_are_in_the_order_of_the_rows(write):
    taxonomy, fine_class_of_id = read_classes(write('c.csv', 'coarse,fine\nnut,nut\nfig,blue\nnut,pea\n'), 'sky')
    assert taxonomy.classes == ('sky', 'nut', 'fig')
    assert taxonomy.fine_classes == ('nut', 'pea', 'blue')
    assert fine_class_of_id == {}


def test_wrong_classes(write):
    for cell in ('x', '-1', '', '²', '9' * 5000):
        with pytest.raises(DataError, match=r'line 2: fine_id must be an integer below 10\^9, got '):
            read_classes(write('c.csv', f'fine,coarse,fine_id\na,b,{cell}\n'))
    with pytest.raises(DataError, match='several fine classes have the fine_id 7; each needs a different one'):
        read_classes(write('c.csv', 'fine,coarse,fine_id\na,b,7\nc,b,7\n'))
    with pytest.raises(DataError, match='no row under the header'):
        read_classes(write('c.csv', 'fine,coarse\n'))
    with pytest.raises(TaxonomyError, match='more than once'):
        read_classes(write('c.csv', 'fine,coarse\na,b\na,c\n'))
    with pytest.raises(DataError, match='no such file'):
        read_classes('nowhere.csv')
