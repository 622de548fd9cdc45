import os
import unicodedata

from deepunetto_mm.datasets.file_names import FileNames, left_out

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
