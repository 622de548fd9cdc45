import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from deepunetto_mm.datasets import DataError, LoadScaledImage
from deepunetto_mm.registry import TRANSFORMS


def read(path, **options):
    loader = TRANSFORMS.build(dict(type='deepunetto_mm.LoadScaledImage', **options))
    results = loader(dict(img_path=str(path)))
    assert results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == results['img'].shape[:2]
    return results['img']


@pytest.mark.parametrize('dtype', [np.int16, np.int32, np.float32])
def test_a_range_of_values_becomes_0_to_255(tmp_path, dtype):
    """By hand: (v + 1000) / 2000 * 255, cut off at both ends."""
    values = np.array([[-3000, -1000, -500, 0, 1000, 3000]] * 2)
    cv2.imwrite(str(tmp_path / 'a.tif'), values.astype(dtype))
    image = read(tmp_path / 'a.tif', low=-1000, high=1000)
    assert image.shape == (2, 6, 3)
    assert image[0].tolist() == [[value] * 3 for value in (0, 0, 64, 128, 255, 255)]
    if dtype == np.float32:
        cv2.imwrite(str(tmp_path / 'a.tif'), np.full((2, 2), np.nan, np.float32))
        assert not read(tmp_path / 'a.tif', low=-1000, high=1000).any()


def test_bands_are_chosen_in_the_order_of_the_file(tmp_path):
    """A file of red 10, green 20, blue 30 and near infrared 40."""
    bgra = np.tile(np.array([30, 20, 10, 40], np.uint8), (4, 5, 1))
    cv2.imwrite(str(tmp_path / 'a.tif'), bgra)
    assert read(tmp_path / 'a.tif', low=0, high=255)[0, 0].tolist() == [30, 20, 10]
    # Near infrared as red, red as green, green as blue; in BGR.
    assert read(tmp_path / 'a.tif', low=0, high=255, channels=(3, 0, 1))[0, 0].tolist() == [20, 10, 40]
    cv2.imwrite(str(tmp_path / 'b.png'), bgra[..., 0])
    assert read(tmp_path / 'b.png', low=0, high=60)[0, 0].tolist() == [128] * 3
    with pytest.raises(DataError, match=r'b\.png: it has 1 bands, and LoadScaledImage is to read \(3, 0, 1\)'):
        read(tmp_path / 'b.png', low=0, high=60, channels=(3, 0, 1))


def test_a_page_is_chosen(tmp_path):
    pages = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (5, 6)]
    pages[0].save(tmp_path / 'a.tif', save_all=True, append_images=pages[1:])
    assert [read(tmp_path / 'a.tif', low=0, high=255, page=page)[0, 0, 0] for page in (0, 1)] == [5, 6]
    with pytest.raises(DataError, match='it has 2 pages, and LoadScaledImage is to read page 2, counted from 0'):
        read(tmp_path / 'a.tif', low=0, high=255, page=2)


def test_what_cannot_be_meant_or_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match='high must be above low'):
        LoadScaledImage(1, 1)
    for options in (dict(channels=(0, 1)), dict(channels=(0, 1, -1)), dict(page=-1)):
        with pytest.raises(ValueError, match='channels are three numbers and page is one'):
            LoadScaledImage(0, 1, **options)
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'a\.png: cannot be decoded'):
        read(tmp_path / 'a.png', low=0, high=1)
    assert 'low=0, high=255' in repr(LoadScaledImage(0, 255))


def write_tiff(path, dtype, bands, photometric, planar='contig', **options):
    """A TIFF of random values up to 200, (8, 9, bands)."""
    values = np.random.default_rng(0).integers(0, 200, (8, 9, bands)).astype(dtype)
    stored = values if planar == 'contig' else np.moveaxis(values, 2, 0).copy()
    tifffile.imwrite(path, stored, photometric=photometric, planarconfig=planar, **options)
    return values


@pytest.mark.parametrize(
    ('dtype', 'bands', 'photometric', 'options'),
    [
        ('uint8', 3, 'rgb', dict()),
        ('uint8', 3, 'rgb', dict(planar='separate')),
        ('uint8', 4, 'rgb', dict(extrasamples=['unspecified'])),
        ('uint16', 3, 'rgb', dict(bigtiff=True)),
        ('uint16', 4, 'rgb', dict(extrasamples=['unassalpha'])),
        ('int16', 3, 'rgb', dict()),
        ('float32', 3, 'rgb', dict()),
        ('float32', 4, 'minisblack', dict()),
    ],
)
def test_layouts_of_tiff_that_are_read(tmp_path, dtype, bands, photometric, options):
    values = write_tiff(tmp_path / 'a.tif', dtype, bands, photometric, **options)
    for channels in ((0, 1, 2), (bands - 1, 0, 1)):
        image = read(tmp_path / 'a.tif', low=0, high=255, channels=channels)
        assert np.array_equal(image, values[..., channels[::-1]])


@pytest.mark.parametrize(
    ('dtype', 'bands', 'photometric', 'options', 'layout'),
    [
        ('uint16', 3, 'minisblack', dict(), '3 channels, whole numbers of 16 bits, photometric MINISBLACK, pixel by'),
        ('uint16', 4, 'minisblack', dict(), '4 channels, whole numbers of 16 bits, photometric MINISBLACK, pixel by'),
        (
            'uint8',
            3,
            'minisblack',
            dict(),
            '3 channels, whole numbers of 8 bits, photometric MINISBLACK, pixel by pixel',
        ),
        ('uint16', 3, 'rgb', dict(planar='separate'), '16 bits, photometric RGB, band by band'),
        (
            'float32',
            3,
            'minisblack',
            dict(planar='separate'),
            'floats of 32 bits, photometric MINISBLACK, band by band',
        ),
        ('uint8', 4, 'rgb', dict(extrasamples=['unassalpha']), 'photometric RGB, pixel by pixel, with transparency'),
        ('uint16', 4, 'minisblack', dict(bigtiff=True), '4 channels, whole numbers of 16 bits'),
        ('uint16', 2, 'minisblack', dict(), '2 channels'),
        ('uint8', 5, 'rgb', dict(), '5 channels'),
    ],
)
def test_layouts_of_tiff_that_opencv_reads_otherwise_are_refused(tmp_path, dtype, bands, photometric, options, layout):
    write_tiff(tmp_path / 'a.tif', dtype, bands, photometric, **options)
    for channels in (None, (bands - 1, 0, 1)):
        with pytest.raises(DataError, match=rf'a\.tif: a TIFF of .*{layout}.*; write the three bands .* as RGB, pixel'):
            read(tmp_path / 'a.tif', low=0, high=255, channels=channels)


def test_the_layout_is_that_of_the_page(tmp_path):
    values = np.random.default_rng(0).integers(0, 200, (2, 8, 9, 3)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        for page, photometric in zip(values, ('minisblack', 'rgb')):
            file.write(page, photometric=photometric, planarconfig='contig')
    assert np.array_equal(read(tmp_path / 'a.tif', low=0, high=255, page=1), values[1, ..., ::-1])
    with pytest.raises(DataError, match='photometric MINISBLACK'):
        read(tmp_path / 'a.tif', low=0, high=255)
    tifffile.imwrite(tmp_path / 'a.tif', np.zeros((8, 9, 5), np.uint8), photometric='rgb', append=True)
    for page, message in ((1, 'cannot be decoded'), (2, 'a TIFF of 5 channels')):  # OpenCV reads all pages or none
        with pytest.raises(DataError, match=message):
            read(tmp_path / 'a.tif', low=0, high=255, page=page)


def test_transparency_that_hides_nothing_changes_nothing(tmp_path):
    values = np.random.default_rng(0).integers(0, 200, (8, 9, 4)).astype(np.uint8)
    values[..., 3] = 255
    Image.fromarray(values).save(tmp_path / 'a.tif')
    assert np.array_equal(read(tmp_path / 'a.tif', low=0, high=255), values[..., 2::-1])


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32'])
def test_values_of_one_band_are_those_that_are_stored_even_if_0_is_white(tmp_path, dtype):
    values = np.arange(200).astype(dtype).reshape(10, 20)
    tifffile.imwrite(tmp_path / 'a.tif', values, photometric='miniswhite')
    assert np.array_equal(read(tmp_path / 'a.tif', low=0, high=255), np.dstack([values] * 3))
