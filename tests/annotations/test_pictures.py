import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.utils.errors import DataError


def test_a_map_of_too_many_pixels_is_an_error_with_its_name(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(DataError, match=r'a\.png: .*exceeds limit of'):
        read_map(tmp_path / 'a.png')


def test_masks_drawn_by_transparency(annotated, tmp_path):
    black = np.zeros((30, 40, 3), np.uint8)
    annotated.write_map(tmp_path / 'a.png', np.dstack([black, 255 * annotated.RING.astype(np.uint8)]))
    np.testing.assert_array_equal(read_map(tmp_path / 'a.png'), 255 * annotated.RING.astype(int))
    grey = np.dstack([annotated.RING.astype(np.uint8)] * 3 + [np.full((30, 40), 255, np.uint8)])
    annotated.write_map(tmp_path / 'b.png', grey)
    np.testing.assert_array_equal(read_map(tmp_path / 'b.png'), annotated.RING)
