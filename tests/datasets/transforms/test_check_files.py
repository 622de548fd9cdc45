import cv2
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from deepunetto_mm.datasets import DataError


@pytest.fixture
def sample(tmp_path):
    """The files of a sample: a JPEG, a mask of 8 bits, a region map of 16."""
    paths = dict(img_path='a.jpg', seg_map_path='mask.png', region_map_path='regions.png')
    arrays = [np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint16)]
    for path, array in zip(paths.values(), arrays):
        assert cv2.imwrite(str(tmp_path / path), array)
    return {key: str(tmp_path / path) for key, path in paths.items()}


@pytest.fixture
def check():
    return TRANSFORMS.build(dict(type='deepunetto_mm.CheckFiles'))


def test_sound_files_pass_as_they_are(check, sample):
    assert check(dict(sample)) == sample
    assert check({}) == {}
    assert check(dict(img_path=None, img=1)) == dict(img_path=None, img=1)
    assert repr(check) == 'CheckFiles()'


@pytest.mark.parametrize('key', ['img_path', 'seg_map_path', 'region_map_path'])
def test_every_file_is_looked_at(check, sample, key):
    with open(sample[key], 'r+b') as file:
        file.truncate(60)
    with pytest.raises(DataError, match=f'{sample[key]}: the file is truncated after 60 bytes'):
        check(dict(sample))


def test_labels_of_16_bits_are_for_region_maps_alone(check, sample):
    sample['seg_map_path'] = sample['region_map_path']
    with pytest.raises(DataError, match='a mask of 16 bits'):
        check(dict(sample))
