import cv2
import numpy as np
import pytest
import torch

from deepunetto_mm.ops import SIGNALS, luminance


def _pixel(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1)


def _random_colours() -> tuple[np.ndarray, torch.Tensor]:
    """Colours, dark ones among them, as (H, W, 3) uint8 and as (1, 3, H, W) float64."""
    rng = np.random.default_rng(0)
    rgb = np.concatenate([rng.integers(0, 256, (6, 5, 3)), rng.integers(0, 25, (6, 5, 3))]).astype(np.uint8)
    return rgb, torch.from_numpy(rgb).permute(2, 0, 1)[None].double()


@pytest.mark.parametrize(
    ('signal', 'expected'),
    [('bt709', 0.2126 * 10 + 0.7152 * 20 + 0.0722 * 30), ('bt601', 0.299 * 10 + 0.587 * 20 + 0.114 * 30)],
)
def test_weights(signal, expected):
    assert luminance(_pixel(10.0, 20.0, 30.0), signal).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('signal', ['bt709', 'bt601', 'linear_light'])
def test_grey_keeps_its_value(signal):
    grey = torch.arange(256.0).view(1, 1, 16, 16).expand(-1, 3, -1, -1)
    torch.testing.assert_close(luminance(grey, signal), grey[:, :1], atol=1e-2, rtol=1e-4)


def test_lightness_of_greys():
    """Light of 0.5: ((0.5 + 0.055) / 1.055) ** 2.4 = 0.21404; its cube root 0.59818; 116 * 0.59818 - 16 = 53.389."""
    assert luminance(_pixel(0.0, 0.0, 0.0), 'lightness').item() == 0
    assert luminance(_pixel(127.5, 127.5, 127.5), 'lightness').item() == pytest.approx(2.55 * 53.389, abs=0.01)
    assert luminance(_pixel(255.0, 255.0, 255.0), 'lightness').item() == pytest.approx(255, abs=1e-3)
    # In the linear part: 2.55 / 255 / 12.92 * 903.296 = 0.69915.
    assert luminance(_pixel(2.55, 2.55, 2.55), 'lightness').item() == pytest.approx(2.55 * 0.69915, rel=1e-4)


def test_linear_light_against_skimage():
    color = pytest.importorskip('skimage.color')
    rgb, tensor = _random_colours()
    light = color.rgb2xyz(rgb)[..., 1]
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(luminance(tensor, 'linear_light')[0, 0].numpy(), encoded, atol=0.05)


def test_lightness_against_skimage_and_opencv():
    color = pytest.importorskip('skimage.color')
    rgb, tensor = _random_colours()
    ours = luminance(tensor, 'lightness')[0, 0].numpy() / 2.55
    # Both weigh by more digits than BT.709 has, and OpenCV interpolates in tables.
    np.testing.assert_allclose(ours, color.rgb2lab(rgb)[..., 0], atol=0.01)
    np.testing.assert_allclose(ours, cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0], atol=0.2)


@pytest.mark.parametrize('signal', SIGNALS)
def test_gradients_are_finite_at_black_and_beyond(signal):
    rgb = torch.tensor([-3.0, 0.0, 258.0]).view(1, 1, 1, 3).repeat(1, 3, 1, 1).requires_grad_()
    luminance(rgb, signal).sum().backward()
    assert torch.isfinite(rgb.grad).all()


def test_gradient_of_lightness_near_black():
    """Of green: 2.55 * 903.296 * 0.7152 / 12.92 / 255."""
    rgb = _pixel(0.5, 0.5, 0.5).requires_grad_()
    luminance(rgb, 'lightness').backward()
    assert rgb.grad[0, 1, 0, 0].item() == pytest.approx(0.50003, rel=1e-3)


def test_an_unknown_signal_is_named():
    with pytest.raises(ValueError, match=r"signal must be one of .*'lightness'.*, got 'bt2020'"):
        luminance(_pixel(1.0, 2.0, 3.0), 'bt2020')
