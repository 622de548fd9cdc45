"""What pictures of all kinds become: as Pillow makes them, or what docs/data_format.md says of them."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from deepunetto_mm.datasets import DataError

HEIGHT, WIDTH = 6, 8
QUICK = dict(serialize_data=False)  # mmengine collects garbage after it has serialised
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
# Before, OpenCV read no GIF, turned JPEG and PNG alone, and refused WebP of several frames.
RECENT = tuple(int(number) for number in cv2.__version__.split('.')[:2]) >= (4, 12)
ALPHA = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) * 5


@pytest.fixture
def read(tiny):
    """Have a dataset read what Pillow writes; the picture (H, W, 3) RGB, and the file."""

    def read(image, suffix, **options):
        for file in (tiny.root / 'images').iterdir():
            file.unlink()
        file = tiny.root / f'images/a{suffix}'
        image.save(file, **options)
        pipeline = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
        dataset = tiny.build(masks=False, test_mode=True, img_suffix=suffix, pipeline=pipeline, **QUICK)
        return dataset[0]['inputs'].numpy().transpose(1, 2, 0)[..., ::-1], file

    return read


@pytest.mark.parametrize('suffix', ['.jpg', '.png'] + ['.tif', '.webp'] * RECENT)
@pytest.mark.parametrize('orientation', range(1, 9))
def test_photographs_are_turned_as_their_exif_orientation_says(read, suffix, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    found, file = read(Image.fromarray(RGB), suffix, exif=exif)
    assert found.shape == ((WIDTH, HEIGHT, 3) if orientation > 4 else (HEIGHT, WIDTH, 3))
    with Image.open(file) as image:
        np.testing.assert_array_equal(found, ImageOps.exif_transpose(image).convert('RGB'))


@pytest.mark.parametrize(
    ('mode', 'suffix'),
    [
        (mode, suffix)
        for mode in ('1', 'L', 'P', 'RGB')
        for suffix in ['.bmp', '.png', '.tif', '.webp'] + ['.gif'] * RECENT
    ]
    + [('LA', '.png'), ('RGBA', '.png'), ('RGBA', '.webp'), ('L', '.jpg'), ('CMYK', '.tif')],
)
def test_grey_palettes_and_inks_become_rgb_and_transparency_is_passed_over(read, mode, suffix):
    image = Image.fromarray(RGB).convert(mode)
    if mode in ('LA', 'RGBA'):
        image.putalpha(Image.fromarray(ALPHA))
    found, file = read(image, suffix, **(dict(lossless=True, exact=True) if suffix == '.webp' else {}))
    with Image.open(file) as image:
        np.testing.assert_array_equal(found, image.convert('RGB'))


def test_inks_of_a_jpeg(read):
    found, file = read(Image.fromarray(RGB).convert('CMYK'), '.jpg')
    with Image.open(file) as image:
        assert np.abs(found - np.asarray(image.convert('RGB'), int)).max() <= 1


def test_transparency_of_a_tiff_is_multiplied(read):
    image = Image.fromarray(RGB)
    image.putalpha(Image.fromarray(ALPHA))
    found, _ = read(image, '.tif')
    assert np.abs(found - RGB * (ALPHA[..., None] / 255)).max() <= 1


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_of_16_bits_the_upper_8_are_taken(read, suffix):
    values = RGB[..., 0].astype(np.uint16) * 256 + 200
    found, _ = read(Image.fromarray(values), suffix)
    np.testing.assert_array_equal(found, RGB[..., :1].repeat(3, 2))


@pytest.mark.parametrize('suffix', ['.png', '.tif'] + ['.gif', '.webp'] * RECENT)
def test_of_several_frames_the_first_is_taken(read, suffix):
    frames = [Image.fromarray(RGB[..., 0] // 100 * 100 + number) for number in range(3)]
    options = dict(lossless=True) if suffix == '.webp' else {}
    found, file = read(frames[0], suffix, save_all=True, append_images=frames[1:], **options)
    with Image.open(file) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(found, np.asarray(frames[0])[..., None].repeat(3, 2))


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_pictures_of_32_bits_are_refused(read, dtype):
    with pytest.raises(DataError, match='a.tif: cannot be decoded .*; copy it again, or write it as PNG'):
        read(Image.fromarray(RGB[..., 0].astype(dtype)), '.tif')


@pytest.mark.parametrize(('height', 'width'), [(1, 8), (6, 1), (1, 1)])
def test_pictures_and_masks_of_a_single_line(tiny, height, width):
    for name in 'ab':
        tiny.write(f'images/{name}.png', np.zeros((height, width, 3), np.uint8))
        tiny.write(f'masks/{name}.png', np.ones((height, width), np.uint8))
    sample = tiny.build(**QUICK)[0]['data_samples']
    assert sample.gt_sem_seg.shape == (height, width)
    assert sample.gt_regions.labels.tolist() == [0]


def test_a_mask_of_one_bit(tiny):
    for name in 'ab':
        Image.fromarray(tiny.mask > 0).save(tiny.root / f'masks/{name}.png')
    assert cv2.imread(str(tiny.root / 'masks/a.png'), cv2.IMREAD_UNCHANGED).max() == 255
    composed = dict(type='deepunetto_mm.LoadComposedAnnotations', labels=['background', 'artery'])
    for loaders, label in (
        ([dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions')], 1),
        ([composed], 3),
    ):
        pipeline = [dict(type='LoadImageFromFile'), *loaders, dict(type='deepunetto_mm.PackRegionInputs')]
        found = tiny.build(pipeline=pipeline, **QUICK)[0]['data_samples'].gt_sem_seg.data[0]
        np.testing.assert_array_equal(found, (tiny.mask > 0) * label)
