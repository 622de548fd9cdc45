import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS
from torchvision.transforms import functional

from deepunetto_mm.datasets import ChromaticAdaptation, ColourShift, RodConeShapes
from deepunetto_mm.ops import LUMA_WEIGHTS

LUMA = np.array(LUMA_WEIGHTS['bt709'])


def _shift(rgb, **options):
    """Of RGB (..., 3), which the transform sees as BGR."""
    image = np.asarray(rgb, np.uint8).reshape(-1, 1, 3)[..., ::-1]
    return ColourShift(**options)(dict(img=image))['img'][..., ::-1].reshape(np.shape(rgb))


def _random_colours(low=0, high=256):
    return np.random.default_rng(0).integers(low, high, (500, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        # Luma 108.504, R - Y = 31.496, B - Y = -8.504; a quarter turn makes them -8.504 and -31.496, and
        # G - Y = (0.2126 * 8.504 + 0.0722 * 31.496) / 0.7152 = 5.707.
        (dict(hue=90), [100, 114, 77]),
        (dict(hue=-90), [117, 103, 140]),
        (dict(hue=180), [77, 117, 117]),
        (dict(saturation=0.5), [124, 104, 104]),
        (dict(saturation=0), [109, 109, 109]),
        (dict(saturation=2), [171, 91, 91]),
        (dict(hue=180, saturation=0.5), [93, 113, 113]),
        (dict(brightness=0.5), [70, 50, 50]),
        (dict(brightness=2), [255, 200, 200]),
        (dict(hue=90, brightness=2), [200, 228, 154]),
        # 127.5 + 2 * (140 - 127.5) and 127.5 - 2 * 27.5; brightness comes before, tint after.
        (dict(contrast=2), [152, 72, 72]),
        (dict(contrast=0), [128, 128, 128]),
        (dict(tint=0.5), [140, 100, 50]),
        (dict(contrast=2, tint=0.5), [152, 72, 36]),
        (dict(brightness=0.5, contrast=2), [12, 0, 0]),
    ],
)
def test_a_red(options, expected):
    assert _shift([140, 100, 100], **options).tolist() == expected


@pytest.mark.parametrize('options', [{}, dict(hue=360), dict(hue=-720)])
def test_nothing_and_full_turns_change_nothing(options):
    colours = _random_colours()
    assert (_shift(colours, **options) == colours).all()


@pytest.mark.parametrize('options', [dict(hue=77), dict(saturation=0), dict(saturation=3)])
def test_grey_stays(options):
    grey = np.repeat(np.arange(256)[:, None], 3, axis=1)
    assert (_shift(grey, **options) == grey).all()


@pytest.mark.parametrize('options', [dict(hue=30), dict(hue=180), dict(saturation=0), dict(hue=-60, saturation=0.5)])
def test_luma_stays_to_rounding(options):
    colours = _random_colours(100, 140)  # no turn of which leaves the range
    assert abs(_shift(colours, **options) @ LUMA - colours @ LUMA).max() <= 0.5 + 1e-9


def _w3c_hue_rotate(degrees):
    """feColorMatrix type='hueRotate' as *Filter Effects Module Level 1* has it, to three digits."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (
        np.array([[0.213, 0.715, 0.072]] * 3)
        + cosine * np.array([[0.787, -0.715, -0.072], [-0.213, 0.285, -0.072], [-0.213, -0.715, 0.928]])
        + sine * np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    )


def _w3c_saturate(factor):
    """feColorMatrix type='saturate'."""
    return np.array([[0.213, 0.715, 0.072]] * 3) + factor * np.array(
        [[0.787, -0.715, -0.072], [-0.213, 0.285, -0.072], [-0.213, -0.715, 0.928]]
    )


@pytest.mark.parametrize('value', [0, 0.3, 25, 90, 200])
def test_against_the_filters_of_the_w3c(value):
    colours = _random_colours()
    for options, matrix in ((dict(hue=value), _w3c_hue_rotate(value)), (dict(saturation=value), _w3c_saturate(value))):
        expected = (colours @ matrix.T).clip(0, 255)
        assert abs(_shift(colours, **options) - expected).max() <= 0.5 + 0.0005 * 2 * 3 * 255 * max(1, value)


@pytest.mark.parametrize('factor', [0, 0.3, 0.75, 1.5])
def test_brightness_against_torchvision(factor):
    colours = _random_colours()
    theirs = functional.adjust_brightness(torch.from_numpy(colours).T.reshape(3, -1, 1), factor)
    difference = _shift(colours, brightness=factor).astype(int) - theirs.reshape(3, -1).T.numpy()
    assert set(np.unique(difference)) <= {0, 1}  # it rounds down


def test_drawn_scenes_keep_their_luma_and_change_their_hues():
    """By half a turn, red becomes cyan, and green violet: the hues of the scenes are opposites."""
    plain, turned = (
        RodConeShapes(num_scenes=6, seed=3, pipeline=[ColourShift(hue=hue)] if hue else []) for hue in (0, 180)
    )
    for before, after in zip(plain, turned):
        assert (before['gt_region_map'] == after['gt_region_map']).all()
        assert abs(before['img'] @ LUMA[::-1] - after['img'] @ LUMA[::-1]).max() <= 0.5 + 1e-9
        for region in before['regions']['ids']:
            inside = before['gt_region_map'] == region
            chroma = [
                info['img'][inside].mean(0) - (info['img'][inside] @ LUMA[::-1]).mean() for info in (before, after)
            ]
            np.testing.assert_allclose(chroma[1], -chroma[0], atol=0.5)


def test_pictures_from_files_are_shifted_before_the_eye_adapts(tiny):
    image = np.random.default_rng(0).integers(0, 200, (6, 8, 3)).astype(np.uint8)
    tiny.write('images/a.png', image)

    def load(*transforms):
        rest = [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions')]
        pipeline = [dict(type='LoadImageFromFile'), *transforms, *rest, dict(type='deepunetto_mm.PackRegionInputs')]
        return tiny.build(pipeline=pipeline)[0]['inputs'].permute(1, 2, 0).numpy().astype(int)

    darker, adapt = (
        dict(type='deepunetto_mm.ColourShift', brightness=0.8),
        dict(type='deepunetto_mm.ChromaticAdaptation'),
    )
    assert (load(darker) == np.rint(image * 0.8)).all()
    # The eye takes back what the light did; rounding to one of 160 levels leaves an error.
    assert abs(load(darker, adapt) - load(adapt)).max() <= 2
    assert (load(adapt) - load(adapt, darker)).max() == 51


def test_adaptation_cannot_take_a_turned_hue_back():
    colours = _random_colours(60, 200).reshape(20, 25, 3)
    colours[0] = 220  # a white ground
    turned = ColourShift(hue=120)(dict(img=colours))['img']
    adapted = [ChromaticAdaptation()(dict(img=image))['img'].astype(int) for image in (colours, turned)]
    assert abs(adapted[0] - adapted[1]).max() > 60


def test_inputs_keep_their_pixels():
    image = np.full((3, 4, 3), [10, 20, 200], np.uint8)
    shifted = ColourShift(hue=90)(dict(img=image))['img']
    assert (image == [10, 20, 200]).all()
    assert (shifted.shape, shifted.dtype) == (image.shape, np.uint8)


def test_through_the_registry():
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.ColourShift', hue=30))
    assert repr(transform) == 'ColourShift(hue=30, saturation=1.0, brightness=1.0, contrast=1.0, tint=1.0)'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(hue=float('inf')), 'hue must be an angle in degrees, got inf'),
        (dict(saturation=-1), 'saturation must be a factor of at least 0, got -1'),
        (dict(brightness=float('nan')), 'brightness must be a factor of at least 0, got nan'),
        (dict(tint=-1), 'tint must be a factor of at least 0, got -1'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ColourShift(**options)


@pytest.mark.parametrize('image', [np.ones((2, 2, 3), np.float32), np.ones((2, 2), np.uint8)])
def test_other_pictures_are_refused(image):
    with pytest.raises(ValueError, match=rf'a\.png is {image.dtype} of shape'):
        ColourShift()(dict(img=image, img_path='a.png'))
