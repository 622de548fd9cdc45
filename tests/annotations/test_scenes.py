import numpy as np
import pytest

from deepunetto_mm.annotations.scenes import Outline, choose_names, parse_label, split_of
from deepunetto_mm.utils.errors import DataError


def test_labels_and_splits():
    assert parse_label(' cell / neutrophil ') == ('cell', 'neutrophil')
    assert parse_label('cell:a/b') == ('cell', 'a/b')
    assert parse_label('cell') == ('cell', '')
    assert split_of(('a', 'Valid', 'b')) == ('val', ('a', 'b'))
    assert split_of(('a',)) == ('', ('a',))


def _with(**attributes):
    return Outline('cell', '', lambda height, width: np.zeros((height, width), bool), attributes)


def test_the_attribute_that_has_the_name():
    assert choose_names([_with(colour='red', type='a')], None)[0] == 'type'
    assert choose_names([_with(colour='red')], None)[0] == 'colour'
    assert choose_names([_with(colour='red', shade='b')], None)[0] is None
    assert choose_names([], None) == (None, [])
    with pytest.raises(DataError, match=r"no object has the attribute 'colours'.*colour"):
        choose_names([_with(colour='red')], 'colours')
