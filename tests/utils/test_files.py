import os

import cv2
import numpy as np
import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.utils import files
from deepunetto_mm.utils.files import (
    PictureNames,
    csv_bytes,
    link_file,
    read_json,
    read_table,
    read_text,
    whole_file,
    write_png,
    write_whole,
)


@pytest.fixture
def write(tmp_path):
    def write(content):
        (tmp_path / 'a').write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path / 'a')

    return write


def test_what_is_right_is_read(write):
    assert read_text(write('é\r\n')) == 'é\r\n'
    assert read_text(write('\ufeffa,b\n')) == 'a,b\n'
    assert read_json(write('{"a": [1, "é"]}')) == dict(a=[1, 'é'])
    assert read_json(write('\ufeff{}')) == {}
    assert read_json(write('"é"'.encode('utf-16'))) == 'é'


def test_deep_json(write):
    depth = 500_000
    with pytest.raises(DataError, match='a: JSON that is nested too deeply; export or copy the file again'):
        read_json(write('[' * depth + ']' * depth))


def test_what_is_wrong_names_the_file(write):
    for content in ('{"a": ', b'{"a": "\xff"}', '', '9' * 5000):
        with pytest.raises(DataError, match=r'/a: not JSON \(.*\); export or copy the file again'):
            read_json(write(content))
    with pytest.raises(DataError, match=r'/a: not a UTF-8 text \(.*\); save it in UTF-8'):
        read_text(write(b'caf\xe9'))


def test_files_too_large_are_not_read(write, monkeypatch):
    monkeypatch.setattr(files, '_LARGEST_TEXT', 7)
    monkeypatch.setattr(files, '_LARGEST_JSON', 8)
    assert read_text(write('1234567')) == '1234567'
    assert read_json(write('12345678')) == 12345678
    monkeypatch.setattr(files.fileio, 'get', None)
    with pytest.raises(
        DataError, match='/a: 8 bytes, but files of this type may have at most 7; use another file, or split'
    ):
        read_text(write('12345678'))
    with pytest.raises(DataError, match='/a: 9 bytes, but files of this type may have at most 8'):
        read_json(write('123456789'))


@pytest.mark.parametrize('path', ['/dev/zero', '/'])
def test_devices_and_folders_are_not_read(path):
    for read in (read_text, read_json):
        with pytest.raises(DataError, match=f'^{path}: a folder or a device, not a file; fix the path$'):
            read(path)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        read_text('nowhere.csv')


def test_a_table_is_read_with_its_lines(write):
    file = write('a, b\n1,"x, y"\n\n ,\n 2 ,z\n')
    assert read_table(file, ['a']) == [(2, dict(a='1', b='x, y')), (5, dict(a='2', b='z'))]
    assert read_table(write(''), []) == []


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('b\n', r"a, line 1: the header \['b'\] has missing columns \['a'\], unknown columns \['b'\]"),
        ('a,c,c\n', r"repeated columns \['c'\]; allowed are \['a'\] and optionally \['c'\]"),
        ('', 'a: empty; the first line lists the columns, at least a'),
        ('a\n1,2\n', 'a, line 2: 2 cells under a header of 1'),
        ('a\n"1\n', 'a, line 2: not CSV'),
    ],
)
def test_what_is_wrong_with_a_table(write, content, message):
    with pytest.raises(DataError, match=message):
        read_table(write(content), ['a'], ['c'])


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'instances.json'
    write_whole(path, b'old')

    def fail(*_):
        raise OSError('no space left')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='no space left'):
        write_whole(path, b'new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['instances.json']


def test_a_file_in_a_folder_to_be_made_is_written_at_the_end(tmp_path):
    path = tmp_path / 'new' / 'a'
    with whole_file(path, 'a.incomplete', durable=True) as incomplete:
        incomplete.write_bytes(b'all')
        assert incomplete == tmp_path / 'new' / 'a.incomplete'
        assert not path.exists()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == dict(a=b'all')


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
    long = names('ä' * 127 + '.png')
    assert (long, names('ä' * 126 + '.png')) == ('ä' * 100, 'ä' * 100 + '_2')
    assert names('???') == 'picture_2'


def test_a_png_reads_as_it_was_written(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_png(tmp_path / 'a.png', values)
    write_png(tmp_path / 'b.png', values[..., 0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), values)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED), values[..., 0])


@pytest.mark.parametrize('link', [os.link, os.symlink])
def test_a_file_is_linked_or_else_copied(link, tmp_path):
    def refuse(source, target):
        raise OSError('no links here')

    source = tmp_path / 'a.png'
    source.write_bytes(b'abc')
    link_file(source, tmp_path / 'linked/a.png', link)
    link_file(source, tmp_path / 'copied/a.png', refuse)
    assert (tmp_path / 'linked/a.png').samefile(source)
    assert not (tmp_path / 'copied/a.png').samefile(source)
    assert (tmp_path / 'copied/a.png').read_bytes() == b'abc'


def test_a_table_as_csv():
    assert csv_bytes(('image', 'name'), [('a,b', 'Möwe'), (1, '')]) == 'image,name\n"a,b",Möwe\n1,\n'.encode()
