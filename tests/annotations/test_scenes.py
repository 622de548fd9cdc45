import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.annotations.scenes import Outline, choose_names, parse_label, paste, polygon_mask, read_map, split_of
from deepunetto_mm.utils.errors import DataError


@pytest.mark.parametrize(
    ('top', 'left', 'rows', 'columns'),
    [
        (1, 2, (1, 3), (2, 5)),
        (-1, -2, (0, 1), (0, 1)),
        (3, 5, (3, 4), (5, 6)),
        (9, 2, (0, 0), (0, 0)),
        (1, -9, (0, 0), (0, 0)),
        (1, 7, (0, 0), (0, 0)),
    ],
)
def test_a_part_is_cut_off_where_it_leaves_the_picture(top, left, rows, columns):
    expected = np.zeros((4, 6), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(paste(np.ones((2, 3), np.uint8), top, left, 4, 6), expected)


def test_a_wide_part_beside_the_picture_leaves_nothing():
    assert not paste(np.ones((20, 30), np.uint8), 1, 50, 10, 40).any()


def test_holes_and_islands_in_them(annotated):
    boxes = ((0, 0, 9, 9), (2, 2, 5, 5), (4, 4, 1, 1))
    mask = polygon_mask([np.array(annotated.box(*corners)) for corners in boxes], 12, 12)
    assert mask.sum() == 81 - 25 + 1
    assert mask[4, 4]
    assert not mask[3, 3]


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


def test_a_map_of_too_many_pixels_is_an_error_with_its_name(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(DataError, match=r'a\.png: .*exceeds limit of'):
        read_map(tmp_path / 'a.png')
