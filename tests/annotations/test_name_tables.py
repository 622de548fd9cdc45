import pytest

from deepunetto_mm.annotations.name_tables import read_name_tables, split_of_row
from deepunetto_mm.utils.errors import DataError


def test_columns_of_other_tools_are_renamed_and_other_tables_left_out(tmp_path):
    (tmp_path / 'a.csv').write_text('Filename,Species,split\nx.jpg,lime,val\n')
    (tmp_path / 'b.csv').write_text('width,height\n3,4\n')
    (tmp_path / 'classes.csv').write_text('value,colour\n1,red\n')
    notes = []
    ((path, rows),) = read_name_tables(tmp_path, notes)
    assert path == tmp_path / 'a.csv'
    assert rows == [(2, dict(image='x.jpg', fine_class='lime', split='val'))]
    assert notes == [
        f"the columns 'Filename' and 'Species' of {path} are pictures and their names",
        f'{tmp_path / "b.csv"} is not read: a table of names has the columns image and fine_class',
    ]
    assert read_name_tables(tmp_path / 'nowhere', []) == []


def test_our_own_columns_with_an_unknown_one_are_an_error(tmp_path):
    (tmp_path / 'labels.csv').write_text('image,fine_class,regoin\nx,lime,1\n')
    with pytest.raises(DataError, match='regoin'):
        read_name_tables(tmp_path, [])


def test_the_split_of_a_row():
    assert split_of_row('t.csv, line 2', dict(split='Valid')) == 'val'
    assert split_of_row('t.csv, line 2', {}) == ''
    with pytest.raises(DataError, match=r"t.csv, line 2: the split 'vla' is not train, val or test"):
        split_of_row('t.csv, line 2', dict(split='vla'))
