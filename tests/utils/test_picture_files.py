import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import pictures_of_folder, read_picture, require_complete


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


def test_damaged_animated_pictures_are_refused(tmp_path):
    """OpenCV 5 gives other pixels for a wrong byte, and no error; some without a last chunk end the process."""
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (10, 200)]
    path = tmp_path / 'a.png'
    frames[0].save(path, save_all=True, append_images=frames[1:])
    require_complete(path)
    content = path.read_bytes()
    path.write_bytes(content + b'a film')
    require_complete(path)
    # A byte of what each holds, and the first of the four that say how long it is.
    for kind, offset in ((b'acTL', 5), (b'IDAT', 5), (b'fdAT', 5), (b'fdAT', -4)):
        damaged = bytearray(content)
        damaged[content.index(kind) + offset] ^= 255
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r'a\.png: a damaged animated PNG; copy or write it again'):
            require_complete(path)
    inside = b'tEXt' + content[-12:]
    path.write_bytes(content[:-12] + struct.pack('>I', 12) + inside + struct.pack('>I', zlib.crc32(inside)))
    with pytest.raises(DataError, match='a damaged animated PNG'):
        require_complete(path)
    frames[0].save(path)  # of one frame: the decoder compares them
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b'IDAT') + 5] ^= 1
    path.write_bytes(damaged)
    require_complete(path)


def test_a_picture_is_read_from_a_path_of_any_letters(tmp_path):
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    content = bytearray(cv2.imencode('.png', picture)[1].tobytes())
    path = tmp_path / 'Zelle ä 細胞.png'
    path.write_bytes(content)
    np.testing.assert_array_equal(read_picture(path), picture)
    grey = read_picture(path, cv2.IMREAD_GRAYSCALE)
    assert grey.shape == (2, 3)
    assert grey[0, 0] == 1  # 0.114 * 0 + 0.587 * 1 + 0.299 * 2 = 1.185
    # A header that claims 40,000 x 40,000 pixels, more than OpenCV reads.
    content[16:24] = struct.pack('>II', 40_000, 40_000)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    for wrong in (bytes(content), b'', b'not a picture'):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match='not a picture, or a damaged one') as error:
            read_picture(path)
        assert str(path) in str(error.value)
