import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from deepunetto_mm.datasets import AddErythrocytes


def _smear(size=120):
    region_map = np.zeros((size, size), np.int32)
    region_map[40:80, 40:80] = 1
    return dict(img=np.full((size, size, 3), 250, np.uint8), gt_region_map=region_map)


def test_they_absorb_green_most_and_leave_the_regions():
    np.random.seed(0)
    drawn = AddErythrocytes(number=30)(_smear())
    outside = drawn['gt_region_map'] == 0
    assert (drawn['img'][~outside] == 250).all()
    changed = (drawn['img'] < 250).any(2)
    assert 0.1 < changed[outside].mean() < 1
    blue, green, red = drawn['img'][changed].mean(0)
    assert green < blue < red < 250
    # The colours' ends: at least 0.4 of the light passes.
    assert drawn['img'].min() >= 100


def test_as_large_as_they_are_said_to_be():
    areas = []
    for seed in range(40):
        np.random.seed(seed)
        smear = dict(img=np.full((400, 400, 3), 255, np.uint8), gt_region_map=np.zeros((400, 400), np.int32))
        green = AddErythrocytes(number=1, diameter=(40, 40))(smear)['img'][..., 1]
        areas.append((green < (int(green.min()) + 255) / 2).sum())
    # Axes between 0.85 and 1 of the diameter; the edge, of half the darkness, is not moved by its blur.
    assert 0.85**2 * 400 * np.pi < max(areas) < 1.05 * 400 * np.pi


def test_none_where_none_are_wanted():
    image = _smear()['img']
    assert (AddErythrocytes(number=0)(_smear())['img'] == image).all()
    assert (AddErythrocytes(number=30, prob=0.0)(_smear())['img'] == image).all()
    assert (AddErythrocytes(number=30)(dict(img=image))['img'] == image).all()  # not annotated


def test_inputs_keep_their_pixels_and_the_registry_knows_it():
    smear = _smear()
    image = smear['img'].copy()
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.AddErythrocytes', number=9, prob=0.5))
    before = smear['img']
    transform(smear)
    assert (before == image).all()
    assert repr(transform) == 'AddErythrocytes(number=9, diameter=(36, 50), prob=0.5)'


@pytest.mark.parametrize('options', [dict(number=-1), dict(prob=2), dict(diameter=(5, 4)), dict(diameter=(0, 4))])
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match='AddErythrocytes: number must be at least 0'):
        AddErythrocytes(**options)


@pytest.mark.parametrize('image', [np.full((64, 64, 3), 4000, np.uint16), np.zeros((64, 64), np.uint8)])
def test_pictures_of_another_kind_are_refused(image):
    with pytest.raises(ValueError, match=rf'AddErythrocytes needs colour pictures of 8 bits, a\.tif is {image.dtype}'):
        AddErythrocytes()(dict(img=image, img_path='a.tif', gt_region_map=np.zeros((64, 64), np.int32)))
