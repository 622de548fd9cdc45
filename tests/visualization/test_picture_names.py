"""Names of pictures in file names."""

from deepunetto_mm.visualization import PictureNames


def test_is_the_stem_and_stays():
    names = PictureNames()
    assert names('data/a/cell.png') == 'cell'
    assert names('data/a/cell.png') == 'cell'


def test_equal_stems_get_different_names():
    names = PictureNames()
    assert [names(path) for path in ('a/1.png', 'b/1.png', 'a/1.jpg', 'c/1_2.png', 'a/1.png')] == [
        '1',
        '1_2',
        '1_3',
        '1_2_2',
        '1',
    ]


def test_case_does_not_make_a_difference():
    names = PictureNames()
    assert [names('A.png'), names('a.png')] == ['A', 'a_2']


def test_is_safe_in_a_file_name():
    names = PictureNames()
    assert names('x/Zelle 3 (ä:*).png') == 'Zelle_3_ä'
    assert names('a/b?c=d*.png') == 'b_c_d'
    assert names('..png') == 'picture'
    assert names('???') == 'picture_2'
