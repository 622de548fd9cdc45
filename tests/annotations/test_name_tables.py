import pytest

from deepunetto_mm.annotations.name_tables import named_scenes, read_name_tables, split_of_row
from deepunetto_mm.annotations.scenes import Annotations, Scene
from deepunetto_mm.utils.errors import DataError


def test_columns_of_other_tools_are_renamed_and_other_tables_left_out(tmp_path):
    (tmp_path / 'a.csv').write_text('Filename,Species,split\nx.jpg,lime,val\n')
    (tmp_path / 'b.csv').write_text('width,height\n3,4\n')
    (tmp_path / 'classes.csv').write_text('value,colour\n1,red\n')
    notes = []
    ((path, rows),) = read_name_tables(tmp_path, [], notes)
    assert path == tmp_path / 'a.csv'
    assert rows == [(2, dict(image='x.jpg', fine_class='lime', split='val'))]
    assert notes == [
        f"the columns 'Filename' and 'Species' of {path} are pictures and their names",
        f'{tmp_path / "b.csv"} is not read: a table of names has the columns image and fine_class',
    ]
    assert read_name_tables(tmp_path / 'nowhere', [], []) == []


def test_our_own_columns_with_an_unknown_one_are_an_error(tmp_path):
    for header in ('image,fine_class,regoin', 'Image,Fine_Class,regoin'):
        (tmp_path / 'labels.csv').write_text(f'{header}\nx,lime,1\n')
        with pytest.raises(DataError, match='regoin'):
            read_name_tables(tmp_path, [], [])


def test_the_split_of_a_row():
    assert split_of_row('t.csv, line 2', dict(split='Valid')) == 'val'
    assert split_of_row('t.csv, line 2', {}) == ''
    with pytest.raises(DataError, match=r"t.csv, line 2: the split 'vla' is not train, val or test"):
        split_of_row('t.csv, line 2', dict(split='vla'))


def test_all_columns_are_known_whatever_their_case(tmp_path):
    (tmp_path / 'a.csv').write_text('Image,Label,Region,Split\nx,lime,2,val\n')
    (tmp_path / 'b.csv').write_text('image,Fine_ID\nx,7\n')
    (tmp_path / '._b.csv').write_bytes(b'\0\xff')
    (_, named), (_, numbered) = read_name_tables(tmp_path, [], [])
    assert named == [(2, dict(image='x', fine_class='lime', region='2', split='val'))]
    assert numbered == [(2, dict(image='x', fine_id='7'))]


def test_the_suffix_of_a_table_may_have_any_case(tmp_path):
    (tmp_path / 'Labels.CSV').write_text('image,label\nx,lime\n')
    ((path, rows),) = read_name_tables(tmp_path, [], [])
    assert (path.name, rows) == ('Labels.CSV', [(2, dict(image='x', fine_class='lime'))])


def test_a_picture_or_region_on_two_rows_is_named(tmp_path):
    (tmp_path / 'a.csv').write_text('image,label,region\nx,lime,\nx,lime,1\nx.png,lemon,\n')
    (tmp_path / 'b.csv').write_text('image,label,region\ny,lime,1\nx,lemon,1\n')
    scenes = [Scene(name, tmp_path / f'{name}.png', tmp_path / f'{name}.png') for name in 'xy']
    found = Annotations()
    rows = [
        (scene.name, row['region'], row['fine_class']) for _, scene, _, row in named_scenes(tmp_path, scenes, found)
    ]
    assert rows == [('x', '', 'lime'), ('x', '1', 'lime'), ('y', '1', 'lime')]
    assert [str(problem).partition(', ')[2] for problem in found.problems] == [
        "line 4: picture 'x.png' has a row on line 2 of a.csv already; keep one of them",
        "line 3: region 1 of picture 'x' has a row on line 3 of a.csv already; keep one of them",
    ]


def test_a_column_id_may_be_that_of_classes(tmp_path):
    (tmp_path / 'names.csv').write_text('id,name\n0,lime\nx/1,lemon\n')
    notes: list[str] = []
    assert read_name_tables(tmp_path, [tmp_path / 'x/2.png'], notes) == []
    assert notes == [f"{tmp_path / 'names.csv'} is not read: its column 'id' names no picture"]
    ((_, rows),) = read_name_tables(tmp_path, [tmp_path / 'x/1.png'], [])
    assert rows[1] == (3, dict(image='x/1', fine_class='lemon'))


def test_a_column_without_a_name_is_no_name(tmp_path):
    (tmp_path / 'a.csv').write_text(',image,fine_id\n0,x,7\n')
    assert read_name_tables(tmp_path, [], [])[0][1] == [(2, {'': '0', 'image': 'x', 'fine_id': '7'})]


def test_a_letter_and_its_mark_may_be_two_characters(tmp_path):
    (tmp_path / 'a.csv').write_text('image,label\n\u00e9,lime\n', encoding='utf-8')
    picture = tmp_path / 'e\u0301.png'
    found = Annotations()
    ((_, scene, _, _),) = named_scenes(tmp_path, [Scene(picture.stem, picture, picture)], found)
    assert scene.picture == picture
    assert not found.problems


def test_only_the_first_faults_look_for_the_name_that_was_meant(tmp_path):
    (tmp_path / 'a.csv').write_text('image,label\n' + 'cart,lime\n' * 7)
    found, picture = Annotations(), tmp_path / 'cat.png'
    assert not list(named_scenes(tmp_path, [Scene('cat', picture, picture)], found))
    assert ["(there is 'cat')" in str(problem) for problem in found.problems] == [True] * 5 + [False] * 2
