"""docs/data_format.md: its examples read small files in the layout that the page lists."""

import re

import cv2
import numpy as np
import pytest
import tifffile
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

PAGE = 'docs/data_format.md'

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def _widths(dataset, index):
    """(name, width) of each region; -1 is no name."""
    regions = dataset[index]['data_samples'].gt_regions
    names = [label if label < 0 else dataset.taxonomy.fine_classes[label] for label in regions.fine_labels.tolist()]
    return sorted(zip(names, (regions.bboxes[:, 2] - regions.bboxes[:, 0]).tolist()), key=str)


def test_the_small_example_is_read(example, repository, folder):
    text = (repository / PAGE).read_text(encoding='utf-8')
    listed = re.findall(r'^  ((\w+)/\w+/(\d+)\.png)\b', text, re.MULTILINE)
    assert len(listed) == 9
    regions = np.zeros((20, 20), np.uint8)
    regions[4:12, 2:10], regions[4:12, 10:16] = 1, 2  # two cells that touch
    for path, kind, picture in listed:
        own = regions if picture == '001' else np.where(regions == 1, regions, 0)
        mask = np.where(own > 0, 1, 0).astype(np.uint8)
        mask[6:9, 4:7] = 2
        _write(folder / 'data/blood' / path, dict(images=cv2.merge([own] * 3), masks=mask, regions=own)[kind])
    table = re.search(r'```csv\n(.*?)```', text, re.DOTALL)[1]
    (folder / 'data/blood/labels.csv').write_text(table)

    options = Config.fromstring(example(PAGE, "data_root='data/blood'"), '.py').train_dataset
    train = DATASETS.build(options)
    assert len(train) == 2
    assert _widths(train, 0) == [('lymphocyte', 6), ('neutrophil', 8)]
    assert _widths(train, 1) == [('neutrophil', 8)]
    assert np.bincount(train[0]['data_samples'].gt_sem_seg.data.flatten()).tolist() == [400 - 112, 112 - 9, 9]
    options.split = 'val'
    options.data_prefix = {key: value.replace('train', 'val') for key, value in options.data_prefix.items()}
    val = DATASETS.build(options)
    assert [_widths(val, index) for index in range(len(val))] == [[(-1, 8)]]


def test_the_loaders_read_the_values_that_they_name(example, folder):
    twelve_bits, page, bands, as_stored = (
        TRANSFORMS.build(eval(line)) for line in example(PAGE, 'LoadScaledImage').splitlines()
    )

    def read(loader, file):
        return loader(dict(img_path=str(folder / file)))['img']

    _write(folder / 'a.png', np.array([[0, 1000, 2048, 4095, 65535]] * 4, np.uint16))
    # By hand: 255 v / 4095.
    assert read(twelve_bits, 'a.png')[0].tolist() == [[value] * 3 for value in (0, 62, 128, 255, 255)]
    pages = np.zeros((3, 4, 4), np.int16)
    pages[2] = -2000, -1024, 1023, 3071
    tifffile.imwrite(folder / 'a.tif', pages, photometric='minisblack')
    assert read(page, 'a.tif')[0, :, 0].tolist() == [0, 0, 127, 255]
    blue, green, red, near_infrared = 3000, 2000, 4000, 10000
    _write(folder / 'b.tif', np.full((4, 5, 4), (blue, green, red, near_infrared), np.uint16))
    assert read(bands, 'b.tif')[0, 0].tolist() == [51, 102, 255]  # green, red, near infrared as BGR

    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    Image.fromarray(np.zeros((8, 4, 3), np.uint8)).save(folder / 'a.jpg', exif=exif)
    assert read(as_stored, 'a.jpg').shape == (8, 4, 3)
    assert read(TRANSFORMS.build(dict(type='LoadImageFromFile')), 'a.jpg').shape == (4, 8, 3)


def test_masks_of_specific_classes_are_read(example, folder):
    mask = np.zeros((20, 20), np.uint8)
    mask[2:8, 2:8], mask[2:8, 8:18] = 1, 2  # a car beside a bus, which are two regions
    mask[14:17, 14:17] = 1  # and a car of fewer pixels than a region has
    _write(folder / 'data/roads/images/train/a.jpg', np.zeros((20, 20, 3), np.uint8))
    _write(folder / 'data/roads/masks/train/a.png', mask)
    block = example(PAGE, "data_root='data/roads'")
    dataset = DATASETS.build(Config.fromstring(block, '.py').dataset)
    assert _widths(dataset, 0) == [('bus', 10), ('car', 6)]
    sample = dataset[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_sem_seg.data[0], mask > 0)
    np.testing.assert_array_equal(sample.gt_fine_seg.data[0], mask)
    mask[0, 0] = 3
    _write(folder / 'data/roads/masks/train/a.png', mask)
    with pytest.raises(ValueError, match=r'1 pixels have the values \[3\], which have no class'):
        dataset[0]
