import io
import os
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from deepunetto_mm.datasets import DataError, integrity
from deepunetto_mm.datasets.integrity import PATHS, require_decodable, require_sound

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
        require_sound(dict(img_path=str(file)), 'img_path')
    for length in (len(content) - 1, len(content) * 9 // 10, len(content) // 2):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match=f'picture: the file is truncated after {length} bytes; copy'):
            require_sound(dict(img_path=str(file)), 'img_path')


def test_a_file_is_looked_at_once_until_it_changes(tmp_path, monkeypatch):
    file, looks = tmp_path / 'picture.png', []
    read = integrity._read_header
    monkeypatch.setattr(integrity, '_read_header', lambda path, key: looks.append(path) or read(path, key))
    file.write_bytes(_encode('png'))
    for _ in range(3):
        require_sound(dict(img_path=str(file)), 'img_path')
    assert looks == [str(file)]
    require_sound(dict(seg_map_path=str(file)), 'seg_map_path')  # of a mask more is asked
    assert len(looks) == 2
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + b'!'):  # another size, another time
        file.write_bytes(damaged)
        os.utime(file, ns=(0, len(looks)))
        for _ in range(2):  # an error is not remembered
            with pytest.raises(DataError, match='truncated'):
                require_sound(dict(img_path=str(file)), 'img_path')
    file.unlink()
    with pytest.raises(FileNotFoundError):
        require_sound(dict(img_path=str(file)), 'img_path')


def test_empty_file_is_truncated_and_other_kinds_pass(tmp_path):
    file = tmp_path / 'picture.bmp'
    file.write_bytes(b'')
    with pytest.raises(DataError, match='after 0 bytes'):
        require_sound(dict(img_path=str(file)), 'img_path')
    file.write_bytes(_encode('bmp'))
    require_sound(dict(img_path=str(file)), 'img_path')


def _png(width: int, height: int, bits: int = 8, pixels: bytes = b'') -> bytes:
    """A grey PNG of that size, whose compressed pixels are whatever is given."""
    parts = [(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0)), (b'IDAT', pixels), (b'IEND', b'')]
    chunks = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def test_small_files_of_large_pictures(tmp_path):
    file = tmp_path / 'bomb.png'
    file.write_bytes(_png(20_000, 20_000, 1, zlib.compress(bytes(2501 * 20_000), 9)))
    assert file.stat().st_size < 50_000
    for key in PATHS:
        with pytest.raises(
            DataError, match=r'bomb.png: Image size \(400000000 pixels\) exceeds limit .*; if the picture .*PIXELS to'
        ):
            require_sound({key: str(file)}, key)


def test_how_many_pixels_a_picture_may_have(tmp_path, monkeypatch):
    file = tmp_path / 'picture.png'
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # above half of the limit, Pillow warns
        for size in ((12_000, 9_000), (13_377, 13_377)):
            file.write_bytes(_png(*size))
            require_sound(dict(img_path=str(file)), 'img_path')
    file.write_bytes(_png(13_378, 13_378))
    with pytest.raises(DataError, match='178970884 pixels'):
        require_sound(dict(img_path=str(file)), 'img_path')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 178_970_884 // 2)
    require_sound(dict(img_path=str(file)), 'img_path')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    file.write_bytes(_png(20, 10))
    require_sound(dict(img_path=str(file)), 'img_path')
    file.write_bytes(_png(21, 10))
    with pytest.raises(DataError, match='210 pixels'):
        require_sound(dict(img_path=str(file)), 'img_path')


def test_headers_that_cannot_be_read(tmp_path):
    file = tmp_path / 'a.hdr'  # which OpenCV reads, of any size, and Pillow does not
    assert cv2.imwrite(str(file), PICTURE.astype(np.float32))
    with pytest.raises(DataError, match='a.hdr: the size of such a file is unknown before it is decoded; copy'):
        require_sound(dict(img_path=str(file)), 'img_path')
    file = tmp_path / 'a.png'
    file.write_bytes(b'not a picture at all')
    with pytest.raises(DataError, match='a.png: not a picture, or a damaged one; copy it again, or write it as PNG'):
        require_sound(dict(img_path=str(file)), 'img_path')
    file = tmp_path / 'volume.npy'
    np.save(file, PICTURE)
    require_sound(dict(img_path=str(file)), 'img_path')  # for a loader that knows it
    with pytest.raises(FileNotFoundError):
        require_sound(dict(img_path=str(tmp_path / 'nowhere.png')), 'img_path')


def test_masks_of_more_than_8_bits(tmp_path):
    for name, dtype, bits in (('a.png', np.uint16, 16), ('a.tif', np.uint16, 16), ('b.tif', np.int32, 32)):
        file = str(tmp_path / name)
        cv2.imwrite(file, np.full((3, 4), 256, dtype))
        with pytest.raises(DataError, match=f'{name}: a mask of {bits} bits; save it with 8 bits, the index'):
            require_sound(dict(seg_map_path=file), 'seg_map_path')
        require_sound(dict(region_map_path=file), 'region_map_path')
    for mode in ('1', 'L', 'P'):
        file = str(tmp_path / f'{mode}.png')
        Image.fromarray(PICTURE).convert(mode).save(file)
        require_sound(dict(seg_map_path=file), 'seg_map_path')
    file = str(tmp_path / 'fractions.tif')
    cv2.imwrite(file, np.ones((3, 4), np.float32))
    with pytest.raises(DataError, match='a region map of fractions; save it with 16 bits'):
        require_sound(dict(region_map_path=file), 'region_map_path')


@pytest.mark.parametrize('key', ['seg_map_path', 'region_map_path'])
def test_labels_in_formats_that_change_them(tmp_path, key):
    labels = Image.fromarray(PICTURE[..., 0])
    for kind in ('jpg', 'webp', 'eps'):
        # Under a name that hides it, as after renaming.
        file = str(tmp_path / f'{kind}.png')
        labels.save(file, {'jpg': 'jpeg'}.get(kind, kind))
        with pytest.raises(DataError, match=rf'{kind}.png: labels in (JPEG|WEBP|EPS), which may change them'):
            require_sound({key: file}, key)
    file = str(tmp_path / 'a.tif')
    labels.save(file, compression='jpeg')
    with pytest.raises(DataError, match='labels in TIFF of JPEG, which may change them; write them again'):
        require_sound({key: file}, key)
    for kind in ('png', 'bmp', 'gif', 'ppm', 'tiff'):
        file = str(tmp_path / f'right.{kind}')
        labels.save(file)
        require_sound({key: file}, key)


def test_what_is_to_blame_is_found_by_decoding(tmp_path):
    whole = tmp_path / 'a.png'
    whole.write_bytes(_encode('png'))
    broken = tmp_path / 'b.png'
    broken.write_bytes(_png(20, 10, pixels=b'no pixels'))
    other = tmp_path / 'b.npy'
    other.write_bytes(b'whatever')
    for key in ('img_path', 'seg_map_path'):
        require_decodable({key: str(whole)}, key)
        require_decodable({key: str(other)}, key)
        with pytest.raises(
            DataError, match=r'b.png: cannot be decoded \(.+\); copy it again, or write it as PNG'
        ) as caught:
            require_decodable({key: str(broken)}, key)
        assert caught.value.__cause__ is not None
    require_decodable(dict(img_path=str(broken), img=PICTURE), 'img_path')  # read by a loader that knows it


def test_a_tiff_that_is_not_read_is_not_called_damaged(tmp_path):
    # Not by OpenCV, whose older versions write whole numbers.
    tifffile.imwrite(tmp_path / 'a.tif', np.zeros((4, 5, 3), np.float32), photometric='rgb')
    message = r'a\.tif: a TIFF of 3 channels, floats of 32 bits, which is not read; scale it to 0\.\.255'
    with pytest.raises(DataError, match=message):
        require_sound(dict(img_path=str(tmp_path / 'a.tif')), 'img_path')
    (tmp_path / 'b.tif').write_bytes(b'II*\0 and nothing else')
    with pytest.raises(DataError, match=r'b\.tif: not a picture, or a damaged one'):
        require_sound(dict(img_path=str(tmp_path / 'b.tif')), 'img_path')


def test_labels_that_reading_would_invert(tmp_path):
    """ImageJ saves masks with an inverting LUT, and Pillow then reads 255 for 0."""
    path = tmp_path / 'a.tif'
    labels = np.array([[0, 1], [1, 2]], np.uint8)
    Image.fromarray(labels).save(path)
    entry = struct.pack('<HHIH', 262, 3, 1, 1)  # tag, a short, one, black is zero
    assert path.read_bytes().count(entry) == 1
    path.write_bytes(path.read_bytes().replace(entry, struct.pack('<HHIH', 262, 3, 1, 0)))
    with Image.open(path) as image:
        read = np.array(image)
    assert read.tolist() == (255 - labels).tolist()
    with pytest.raises(DataError, match=r'a\.tif: a TIFF whose numbers are inverted'):
        require_sound(dict(seg_map_path=str(path)), 'seg_map_path')
    require_sound(dict(img_path=str(path)), 'img_path')


def test_what_to_do_about_wide_labels(tmp_path):
    path = str(tmp_path / 'a.tif')
    assert cv2.imwrite(path, np.zeros((4, 5), np.float64))
    with pytest.raises(DataError, match='a TIFF of 1 channel, floats of 64 bits, which is not read; write the same'):
        require_sound(dict(region_map_path=path), 'region_map_path')
