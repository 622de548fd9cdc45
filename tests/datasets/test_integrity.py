import io

import cv2
import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.datasets import DataError
from deepunetto_mm.datasets.integrity import require_8_bits, require_complete

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8), (5, 5), 2)


def _encode(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == 'jpg with a thumbnail':
        small = io.BytesIO()
        Image.fromarray(PICTURE[:16, :16]).save(small, 'jpeg')
        # An application segment in front of the picture that holds a whole JPEG file, as EXIF thumbnails do.
        Image.fromarray(PICTURE).save(buffer, 'jpeg')
        plain, payload = buffer.getvalue(), small.getvalue()
        return plain[:2] + b'\xff\xe1' + (len(payload) + 2).to_bytes(2, 'big') + payload + plain[2:]
    if kind == 'progressive jpg':
        Image.fromarray(PICTURE).save(buffer, 'jpeg', progressive=True)
    else:
        Image.fromarray(PICTURE).save(buffer, {'jpg': 'jpeg'}.get(kind, kind))
    return buffer.getvalue()


@pytest.mark.parametrize('kind', ['png', 'jpg', 'progressive jpg', 'jpg with a thumbnail'])
def test_truncated_files_are_told_from_whole_ones(tmp_path, kind):
    file, content = tmp_path / 'picture', _encode(kind)
    for whole in (content, content + b'film of the moment before'):
        file.write_bytes(whole)
        require_complete(str(file))
    for length in (len(content) - 1, len(content) * 9 // 10, len(content) // 2):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match=f'picture: the file is truncated after {length} bytes; copy'):
            require_complete(str(file))


def test_empty_file_is_truncated_and_other_kinds_pass(tmp_path):
    file = tmp_path / 'picture.bmp'
    file.write_bytes(b'')
    with pytest.raises(DataError, match='after 0 bytes'):
        require_complete(str(file))
    file.write_bytes(_encode('bmp'))
    require_complete(str(file))


def test_masks_of_16_bits(tmp_path):
    file = str(tmp_path / 'mask.png')
    cv2.imwrite(file, np.ones((3, 4), np.uint8))
    require_8_bits(file)
    cv2.imwrite(file, np.full((3, 4), 256, np.uint16))
    with pytest.raises(DataError, match='mask.png: a mask of 16 bits; save it with 8 bits'):
        require_8_bits(file)
