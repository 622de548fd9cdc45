import numpy as np
import pytest

from deepunetto_mm.threshold_masks.contact_sheet import contact_sheet, mask_tile

CYAN = [0, 255, 255]


def test_tiles_go_in_reading_order():
    tiles = [np.full((5, 3, 3), value, np.uint8) for value in (100, 150, 200)]
    sheet = contact_sheet(tiles, 2)
    assert sheet.shape == (5 + 4 + 5, 3 + 4 + 3, 3)
    assert [sheet[y, x, 0] for y, x in ((0, 0), (0, 7), (9, 0), (9, 7), (6, 0))] == [100, 150, 200, 32, 32]
    assert contact_sheet(tiles[:1], 8).shape == (5, 3, 3)


def test_tiles_have_one_size():
    with pytest.raises(ValueError, match='tiles of one size'):
        contact_sheet([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)], 2)
    with pytest.raises(ValueError, match='tiles of one size'):
        contact_sheet([], 2)


@pytest.mark.parametrize('shape', [(20, 10), (10, 20), (400, 200), (1, 300)])
def test_a_tile_is_a_picture_beside_its_drawing(shape):
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2 + 1] = 7
    image = np.full((*shape, 3), 90, np.uint8)
    tile = mask_tile(image, mask, 'a caption that is far too long for a tile as small as this one is', side=40)
    assert tile.shape[1] == 80
    assert tile.shape[0] == mask_tile(image, mask, '', side=40).shape[0]
    top = tile.shape[0] - 40
    assert (tile[top, 0] == 90).all()
    assert tile[top, 40].tolist() == CYAN


def test_a_tile_without_object_is_the_picture_twice():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    tile = mask_tile(image, np.zeros((4, 4)), '', side=4)[-4:]
    assert (tile[:, :4] == image).all()
    assert (tile[:, 4:] == image).all()
