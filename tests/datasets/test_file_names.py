import os
import unicodedata

from deepunetto_mm.datasets.file_names import FileNames, is_hidden, left_out

COMPOSED = unicodedata.normalize('NFC', 'café/ä')
DECOMPOSED = unicodedata.normalize('NFD', COMPOSED)


def test_a_name_is_found_in_another_form():
    names = FileNames([DECOMPOSED, 'b/c'])
    assert COMPOSED != DECOMPOSED
    assert names.find(COMPOSED) == DECOMPOSED
    assert names.find('b\\c') == 'b/c'
    assert names.find('b/c') == 'b/c'
    assert names.find('b/d') is None


def test_what_a_folder_has_beside_the_pictures_of_a_suffix(tmp_path):
    (tmp_path / 'sub').mkdir()
    for name in ('a.png', 'b.PNG', 'sub/c.jpg', '.d.png', '._a.png', 'notes.txt', 'a_mask.png'):
        (tmp_path / name).touch()
    os.symlink(tmp_path / 'gone.png', tmp_path / 'e.png')
    errors, notes = left_out(str(tmp_path), '.png', others=('_mask.png',))
    assert len(errors) == 1
    assert 'e.png: a link to' in str(errors[0])
    assert '1 of 2 pictures' in str(errors[0])
    suffixes, hidden = map(str, notes)
    assert '2 of 3 pictures are left out' in suffixes
    assert '.PNG (1, such as' in suffixes
    assert '.jpg (1, such as' in suffixes
    assert '1 hidden pictures are left out, such as' in hidden
    assert '.d.png' in hidden
    assert left_out(str(tmp_path / 'sub'), '.jpg') == ([], [])


def test_what_is_in_a_hidden_folder_is_hidden(tmp_path):
    assert [is_hidden(name) for name in ('a.b/c.png', 'a/.b/c.png', '.a.png', 'a\\.b.png')] == [False, True, True, True]
    (tmp_path / '.data/.ipynb_checkpoints').mkdir(parents=True)
    (tmp_path / '.data/a.png').touch()
    (tmp_path / '.data/.ipynb_checkpoints/a-checkpoint.png').touch()
    os.symlink(tmp_path / 'gone.png', tmp_path / '.data/.ipynb_checkpoints/b.png')
    errors, (note,) = left_out(str(tmp_path / '.data'), '.png')
    assert errors == []
    assert f'2 hidden pictures are left out, such as {tmp_path / ".data/.ipynb_checkpoints"}' in str(note)
