import pytest
import torch

from deepunetto_mm.ops import centre_crop


def test_as_much_from_each_side():
    x = torch.arange(5 * 8).view(1, 5, 8)
    assert centre_crop(x, (1, 4)).tolist() == [[[18, 19, 20, 21]]]
    assert centre_crop(x, (3, 2)).tolist() == [[[11, 12], [19, 20], [27, 28]]]
    assert torch.equal(centre_crop(x, x.shape[1:]), x)


def test_leading_dimensions_and_type_stay():
    assert centre_crop(torch.zeros(2, 3, 6, 6, dtype=torch.uint8), (4, 2)).shape == (2, 3, 4, 2)
    assert centre_crop(torch.zeros(6, 6, dtype=torch.bool), torch.Size((4, 2))).dtype == torch.bool


@pytest.mark.parametrize('size', [(4, 8), (5, 7), (7, 8), (5, 10)])
def test_no_centre_half_a_pixel_off_or_beyond_the_border(size):
    with pytest.raises(ValueError, match=f'a map of 5x8 has no centre of {size[0]}x{size[1]}'):
        centre_crop(torch.zeros(1, 5, 8), size)
