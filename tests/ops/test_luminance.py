import numpy as np
import pytest
import torch

from deepunetto_mm.ops import luminance


def _pixel(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ('standard', 'expected'),
    [('bt709', 0.2126 * 10 + 0.7152 * 20 + 0.0722 * 30), ('bt601', 0.299 * 10 + 0.587 * 20 + 0.114 * 30)],
)
def test_weights(standard, expected):
    assert luminance(_pixel(10.0, 20.0, 30.0), standard).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('linear_light', [False, True])
@pytest.mark.parametrize('standard', ['bt709', 'bt601'])
def test_grey_keeps_its_value(standard, linear_light):
    grey = torch.arange(256.0).view(1, 1, 16, 16).expand(-1, 3, -1, -1)
    torch.testing.assert_close(luminance(grey, standard, linear_light), grey[:, :1], atol=1e-2, rtol=1e-4)


def test_linear_light_against_skimage():
    color = pytest.importorskip('skimage.color')
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    light = color.rgb2xyz(rgb)[..., 1]
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055) * 255
    ours = luminance(torch.from_numpy(rgb).permute(2, 0, 1)[None].double(), linear_light=True)[0, 0].numpy()
    np.testing.assert_allclose(ours, encoded, atol=0.05)


def test_linear_light_has_finite_gradients_at_black_and_beyond():
    rgb = torch.tensor([-3.0, 0.0, 258.0]).view(1, 1, 1, 3).repeat(1, 3, 1, 1).requires_grad_()
    luminance(rgb, linear_light=True).sum().backward()
    assert torch.isfinite(rgb.grad).all()
