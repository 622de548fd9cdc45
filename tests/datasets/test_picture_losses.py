"""What is lost when a picture is read is said with numbers; what is read as it is stored is not spoken of."""

import re

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from deepunetto_mm.datasets import LoadScaledImage
from deepunetto_mm.datasets.picture_losses import losses_of_reading, unread_values

RAMP = np.arange(0, 4096, 32, dtype=np.uint16).reshape(8, 16)


def losses(path, loader=None, with_masks=False):
    loader = loader or LoadImageFromFile()
    image = loader.transform(dict(img_path=str(path)))['img']
    return {loss.kind: str(loss) for loss in losses_of_reading(str(path), image, loader, with_masks)}


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.pgm'])
@pytest.mark.parametrize('colours', [False, True])
def test_bits_beyond_8(tmp_path, name, colours):
    """128 values of 12 bits in a file of 16: 0, 32, ... 4064. Of these the upper 8 bits are 0 to 15."""
    path = tmp_path / (name.replace('pgm', 'ppm') if colours else name)
    cv2.imwrite(str(path), np.dstack([RAMP] * 3) if colours else RAMP)
    ((kind, message),) = losses(path).items()
    assert kind == 'picture of 16 bits'
    # TIFFs in colours are divided by 257 and rounded.
    read = 'are read as 0 to 1[56] in 1[67] levels'
    assert re.search(rf'values of 16 bits \(uint16\), 0 to 4064 in 128 levels, {read}', message)
    assert 'LoadScaledImage(low=0, high=4064)' in message
    assert losses(path, LoadScaledImage(0, 4095)) == {}
    assert losses(path, LoadImageFromFile(color_type='unchanged')) == {}


def test_negative_values_and_floats(tmp_path):
    values = np.array([[-1024, 0, 400, 3071]] * 4)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / 'f.tif')
    assert unread_values(str(tmp_path / 'f.tif')).startswith('values of 32 bits (float32), -1024 to 3071, which Load')
    cv2.imwrite(str(tmp_path / 'i.tif'), values.astype(np.int16))
    (message,) = losses(tmp_path / 'i.tif').values()
    assert 'values of 16 bits (int16), -1024 to 3071 in 4 levels, are read as 0 to 252' in message


def test_pages_and_bands(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    pages = [Image.fromarray(picture)] * 3
    pages[0].save(tmp_path / 'p.tif', save_all=True, append_images=pages[1:])
    assert 'it has 3 pages, of which the first is read' in losses(tmp_path / 'p.tif')['several pages']
    for name in ('b.tif', 'b.png'):
        cv2.imwrite(str(tmp_path / name), np.dstack([picture, np.full((8, 16), 77, np.uint8)]))
        assert 'it has 4 bands, of which the first 3 are read; the fourth' in losses(tmp_path / name)['fourth band']
    cv2.imwrite(str(tmp_path / 'opaque.png'), np.dstack([picture, np.full((8, 16), 255, np.uint8)]))
    assert losses(tmp_path / 'opaque.png') == {}


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_exif_orientation_beside_masks(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'a.jpg', exif=exif)
    told = losses(tmp_path / 'a.jpg', with_masks=True)
    assert list(told) == ['picture turned by EXIF'] * (orientation > 1)
    assert losses(tmp_path / 'a.jpg') == {}
    assert losses(tmp_path / 'a.jpg', LoadImageFromFile(color_type='color_ignore_orientation'), True) == {}


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.bmp', 'a.webp', 'a.tif'])
def test_nothing_is_lost_of_8_bits(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8))
    assert losses(tmp_path / name, with_masks=True) == {}
