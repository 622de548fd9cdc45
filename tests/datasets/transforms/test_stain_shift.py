import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from skimage.color import hed2rgb, hed_from_rgb, rgb2hed

from deepunetto_mm.datasets import StainShift


def _shift(rgb, **options):
    """Of RGB (..., 3), which the transform sees as BGR."""
    image = np.asarray(rgb, np.uint8).reshape(-1, 1, 3)[..., ::-1]
    return StainShift(**options)(dict(img=image))['img'][..., ::-1].reshape(np.shape(rgb))


def _stained(count=300):
    """Colours that are mixtures of the three stains."""
    amounts = np.random.default_rng(0).uniform(0.01, 0.08, (count, 3))
    return np.rint(hed2rgb(amounts) * 255).astype(np.uint8)


def test_all_stains_by_hand():
    # Twice the density squares the light: 127 is half of it, (127 + 1) / 256, which becomes a quarter.
    assert _shift([255, 127, 0], stain=2).tolist() == [255, 63, 0]
    assert _shift([255, 127, 63], stain=0.5).tolist() == [255, 180, 127]
    assert _shift([255, 127, 0], stain=0).tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ('options', 'factors'),
    [
        (dict(haematoxylin=1.5), (1.5, 1, 1)),
        (dict(eosin=0.5), (1, 0.5, 1)),
        (dict(stain=0.7, haematoxylin=1.3, eosin=1.2), (0.91, 0.84, 0.7)),
    ],
)
def test_single_stains_against_scikit_image(options, factors):
    colours = _stained()
    assert (rgb2hed(colours) > 0).mean() > 0.95  # what it would clip is rounding alone
    density = np.log(colours / 255)
    expected = np.exp(density @ hed_from_rgb @ np.diag(factors) @ np.linalg.inv(hed_from_rgb)) * 255
    assert abs(_shift(colours, **options) - expected.clip(0, 255)).max() < 2.5  # black has a density here
    theirs = hed2rgb(rgb2hed(colours) * factors) * 255
    assert np.median(abs(_shift(colours, **options) - theirs)) < 1


def test_nothing_changes_nothing_and_white_stays():
    colours = np.random.default_rng(0).integers(0, 256, (500, 3)).astype(np.uint8)
    assert (_shift(colours) == colours).all()
    assert _shift([255, 255, 255], stain=3, haematoxylin=0.2, eosin=2).tolist() == [255, 255, 255]


def test_inputs_keep_their_pixels_and_the_registry_knows_it():
    image = np.full((3, 4, 3), [10, 20, 200], np.uint8)
    shifted = TRANSFORMS.build(dict(type='deepunetto_mm.StainShift', eosin=2))(dict(img=image))['img']
    assert (image == [10, 20, 200]).all()
    assert (shifted.shape, shifted.dtype) == (image.shape, np.uint8)
    assert repr(StainShift(eosin=2)) == 'StainShift(stain=1.0, haematoxylin=1.0, eosin=2)'


def test_what_is_refused():
    with pytest.raises(ValueError, match='eosin must be a factor of at least 0, got -1'):
        StainShift(eosin=-1)
    with pytest.raises(ValueError, match=r'a\.png is float32 of shape'):
        StainShift()(dict(img=np.ones((2, 2, 3), np.float32), img_path='a.png'))
