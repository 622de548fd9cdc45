from pathlib import Path

import numpy as np
import pytest

from deepunetto_mm.annotations.scenes import Outline, Scene, choose_names, parse_label, split_of
from deepunetto_mm.utils.errors import DataError


def test_labels_and_splits():
    assert parse_label(' cell / neutrophil ') == ('cell', 'neutrophil')
    assert parse_label('cell:a/b') == ('cell', 'a/b')
    assert parse_label('cell') == ('cell', '')
    assert split_of(('a', 'Valid', 'b')) == ('val', ('a', 'b'))
    assert split_of(('a',)) == ('', ('a',))


@pytest.mark.parametrize(
    ('name', 'split'),
    [
        ('training_set', 'train'),
        ('Validation Set', 'val'),
        ('test-data', 'test'),
        ('seg_train', 'train'),
        ('val2017', 'val'),
        ('test1', ''),
        ('test strip', ''),
        ('trains', ''),
    ],
)
def test_splits_as_archives_call_them(name, split):
    assert split_of((name, 'cat')) == (split, ('cat',) if split else (name, 'cat'))


def test_a_folder_in_one_of_its_own_name_is_the_same_unless_it_is_the_last():
    assert split_of(('test_set', 'test_set', 'cat')) == ('test', ('cat',))
    assert split_of(('train', 'train')) == ('train', ('train',))


@pytest.mark.parametrize(
    ('name', 'written'),
    [
        ('../a/./ b /c', 'a/b/c'),
        ('C:/x/a', 'x/a'),
        ('/x/.local/share/a.b', 'x/local/share/a.b'),
        ('.. /. a/...b', 'a/b'),
    ],
)
def test_no_name_leads_out_of_the_written_dataset_or_hides_a_picture(name, written):
    assert Scene(name, Path('a.png'), Path('a.json')).name == written


def _with(**attributes):
    return Outline('cell', '', lambda height, width: np.zeros((height, width), bool), attributes)


def test_the_attribute_that_has_the_name():
    assert choose_names([_with(colour='red', type='a')], None)[0] == 'type'
    assert choose_names([_with(colour='red')], None)[0] == 'colour'
    assert choose_names([_with(colour='red', shade='b')], None)[0] is None
    assert choose_names([], None) == (None, [])
    assert choose_names([_with(grade='2'), _with(grade='2a')], None)[0] == 'grade'
    with pytest.raises(DataError, match=r"no object has the attribute 'colours'.*colour"):
        choose_names([_with(colour='red')], 'colours')


@pytest.mark.parametrize('numbers', [('0', '17'), ('-1.5', '1e-05')])
def test_an_attribute_of_numbers_has_the_name_only_if_a_user_says_so(numbers):
    outlines = [_with(track_id=number) for number in numbers]
    note = "the attributes ['track_id'] are not used; --fine-key takes one of them as the fine class"
    assert choose_names(outlines, None) == (None, [note])
    assert choose_names(outlines, 'track_id') == ('track_id', [])
