import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.utils import text_files
from deepunetto_mm.utils.text_files import read_json, read_text


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
    monkeypatch.setattr(text_files, '_LARGEST_TEXT', 7)
    monkeypatch.setattr(text_files, '_LARGEST_JSON', 8)
    assert read_text(write('1234567')) == '1234567'
    assert read_json(write('12345678')) == 12345678
    monkeypatch.setattr(text_files.fileio, 'get', None)
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
