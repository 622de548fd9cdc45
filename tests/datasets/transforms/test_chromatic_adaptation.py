import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from deepunetto_mm.datasets import ChromaticAdaptation


def _adapt(image, **options):
    return ChromaticAdaptation(**options)(dict(img=np.asarray(image, np.uint8)))['img']


def test_each_channel_is_scaled_by_itself():
    # Brightest: 200, 100, 50. 255/200 = 1.275, 255/100 = 2.55, 255/50 = 5.1.
    image = [[[200, 100, 50], [100, 10, 25]], [[40, 0, 10], [0, 50, 1]]]
    expected = [[[255, 255, 255], [128, 26, 128]], [[51, 0, 51], [0, 128, 5]]]  # 127.5 goes to the even 128
    assert _adapt(image, percentile=100).tolist() == expected


def test_the_colour_of_the_light_drops_out():
    reflectance = np.random.default_rng(0).uniform(0, 1, (40, 50, 3))
    reflectance[:10] = 1  # a white ground
    white, yellow = (np.rint(reflectance * light) for light in ([250, 250, 250], [240, 230, 130]))
    difference = _adapt(white).astype(int) - _adapt(yellow).astype(int)
    # Rounding a channel to one of 131 levels leaves an error of half a step of 255/130.
    assert abs(difference).max() <= 2


def test_brighter_specks_than_the_ground_do_not_matter():
    image = np.full((10, 10), 100)
    image[0, :4] = 250  # 4 of 100 pixels
    image[5] = 40
    adapted = _adapt(image, percentile=95)
    assert (adapted[0, :4] == 255).all()
    assert (adapted[1] == 255).all()
    assert (adapted[5] == 102).all()


@pytest.mark.parametrize('percentile', [1, 37.5, 50, 95, 100])
def test_the_percentile_is_numpys(percentile):
    image = np.random.default_rng(1).integers(20, 256, (30, 41, 1)).astype(np.uint8)
    white = np.percentile(image, percentile, method='inverted_cdf')
    expected = np.minimum(np.rint(image * 255.0 / float(white)), 255)
    assert (_adapt(image, percentile=percentile) == expected).all()


def test_a_channel_without_light_stays_black():
    image = np.zeros((3, 4, 3))
    image[..., 1] = 51
    assert _adapt(image)[0, 0].tolist() == [0, 255, 0]


def test_grey_pictures_keep_their_shape_and_inputs_their_pixels():
    image = np.full((3, 4), 51, np.uint8)
    assert _adapt(image).shape == (3, 4)
    assert (image == 51).all()


def test_twice_is_once():
    image = np.random.default_rng(2).integers(0, 200, (20, 20, 3))
    once = _adapt(image)
    assert (_adapt(once) == once).all()


def test_through_the_registry():
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.ChromaticAdaptation', percentile=90))
    assert repr(transform) == 'ChromaticAdaptation(percentile=90)'


@pytest.mark.parametrize('percentile', [0, -1, 101])
def test_percentiles_outside_the_range(percentile):
    with pytest.raises(ValueError, match='above 0 and at most 100'):
        ChromaticAdaptation(percentile=percentile)


def test_floats_are_refused():
    with pytest.raises(ValueError, match=r'a\.png is float32'):
        ChromaticAdaptation()(dict(img=np.ones((2, 2, 3), np.float32), img_path='a.png'))
