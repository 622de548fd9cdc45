import cv2
import numpy as np
import pytest

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import pictures_of_folder, require_complete


def test_pictures_by_name_and_the_rest_in_words(tmp_path):
    for name in ('b.PNG', 'a.jpg', '._a.jpg', 'notes.txt', 'more.txt'):
        (tmp_path / name).write_bytes(b'x')
    (tmp_path / 'c').mkdir()
    said = []
    assert [path.name for path in pictures_of_folder(tmp_path, said.append)] == ['a.jpg', 'b.PNG']
    assert said == [f'{tmp_path}: 2 pictures; 3 other entries are left out: .txt (2), subfolder (1)']


def test_pictures_alone_need_no_words_and_none_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='no picture in the folder'):
        pictures_of_folder(tmp_path, pytest.fail)
    (tmp_path / 'a.png').write_bytes(b'x')
    assert pictures_of_folder(tmp_path, pytest.fail) == [tmp_path / 'a.png']


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_file_is_complete_up_to_its_end_marker(tmp_path, suffix):
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    content = cv2.imencode(suffix, picture)[1].tobytes()
    path = tmp_path / f'a{suffix}'
    for whole in (content, content + b'a film'):
        path.write_bytes(whole)
        require_complete(path)
    for part in (content[:-1], content[: len(content) // 2], b''):
        path.write_bytes(part)
        with pytest.raises(DataError, match=rf'a{suffix}: the file is truncated after {len(part)} bytes'):
            require_complete(path)
