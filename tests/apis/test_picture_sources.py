"""Files and arrays as they are listed for prediction."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deepunetto_mm.apis.picture_sources import list_sources

RED = np.zeros((2, 3, 3), np.uint8)
RED[..., 2] = 255  # of blue, green, red


def test_pictures_in_memory_become_blue_green_red():
    rgb = RED[..., ::-1].copy()
    chw = torch.from_numpy(rgb).permute(2, 0, 1)
    sources = list_sources([RED, Image.fromarray(rgb), chw, chw / 255, (chw / 255).bfloat16()])
    assert [source.path for source in sources] == [None] * 5
    assert len({source.name for source in sources}) == 5
    for source in sources:
        assert source.array.dtype == np.uint8
        np.testing.assert_array_equal(source.array, RED)


def test_a_folder_is_listed_in_order(tmp_path):
    for name in ('b.png', 'a.png'):
        cv2.imwrite(str(tmp_path / name), RED)
    sources = list_sources(tmp_path)
    assert [source.path for source in sources] == [tmp_path / 'a.png', tmp_path / 'b.png']
    assert all(source.array is None for source in sources)


def test_what_is_no_picture():
    with pytest.raises(ValueError, match=r'picture 0 is a tensor \(1, 2, 2\)'):
        list_sources([torch.zeros(1, 2, 2)])
    with pytest.raises(TypeError, match='picture 1 is a float'):
        list_sources([RED, 0.5])
    with pytest.raises(ValueError, match="picture of mode 'F'"):
        list_sources([Image.fromarray(np.zeros((2, 2), np.float32))])
