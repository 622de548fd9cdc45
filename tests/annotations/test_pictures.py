from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from deepunetto_mm.annotations.pictures import by_file_name, find_picture, read_class_map, read_map
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


@pytest.mark.parametrize('mode', ['LA', 'RGBA'])
@pytest.mark.parametrize('alpha', [0, 255])
def test_masks_without_an_object_are_empty_whether_opaque_or_transparent(tmp_path, mode, alpha):
    Image.new(mode, (40, 30), (*[0] * (len(mode) - 1), alpha)).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_map(tmp_path / 'a.png'), np.zeros((30, 40)))


def test_colours_are_looked_up_even_if_all_are_grey(annotated, tmp_path):
    colours = {0x00FFFF: 0, 0xFFFFFF: 1, 0: 2}  # DeepGlobe's urban land, barren and unknown
    ring = annotated.RING
    annotated.write_map(tmp_path / 'a.png', np.dstack([255 * ring.astype(np.uint8)] * 3))
    np.testing.assert_array_equal(read_class_map(tmp_path / 'a.png', colours), np.where(ring, 1, 2))
    annotated.write_map(tmp_path / 'b.png', 2 * ring.astype(np.uint8))  # of one band: numbers
    np.testing.assert_array_equal(read_class_map(tmp_path / 'b.png', colours), 2 * ring)
    annotated.write_map(tmp_path / 'c.png', np.dstack([ring.astype(np.uint8)] * 3))
    with pytest.raises(DataError, match=r"c\.png: no class has the colours \['010101'\].* if the masks have numbers"):
        read_class_map(tmp_path / 'c.png', colours)


def test_the_folders_above_the_dataset_are_no_splits():
    root = Path('/home/me/test/data')
    pictures = {'a.png': [root / 'x/a.png', root / 'test/a.png']}
    assert find_picture(root, pictures, root / 'a.json', 'a.png', 'test') == root / 'test/a.png'


def test_of_equal_names_that_beside_the_annotation_file_is_meant():
    root = Path('/data')
    files = [root / path for path in ('images/1.png', 'x/images/1.png', 'y/images/1.png', 'y/e\u0301.png')]
    pictures = by_file_name(files)

    def find(source, name):
        return find_picture(root, pictures, root / source, name).relative_to(root).as_posix()

    assert find('a.json', 'images/1.png') == 'images/1.png'
    assert find('x/a.json', 'images\\1.png') == 'x/images/1.png'
    assert find('y/annotations/a.json', '1.png') == 'y/images/1.png'
    assert find('a.json', '\u00e9.png') == 'y/e\u0301.png'
    with pytest.raises(
        DataError, match=r"/data/a\.json: the picture '1\.png' may be /data/images/1\.png or /data/x/im"
    ):
        find('a.json', '1.png')
    with pytest.raises(DataError, match=r"/data/a\.json: its picture '2\.png' is not in /data; copy it there"):
        find('a.json', '2.png')


def test_the_colours_of_a_palette_are_looked_up_whatever_their_order(annotated, tmp_path):
    image = Image.fromarray(np.where(annotated.RING, 0, 1).astype(np.uint8))
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_class_map(tmp_path / 'a.png', {0: 0, 0xFF0000: 1}), annotated.RING)
    np.testing.assert_array_equal(read_class_map(tmp_path / 'a.png', {}), ~annotated.RING)


def test_a_map_whose_numbers_would_be_inverted_is_refused(tmp_path):
    for photometric in ('minisblack', 'miniswhite'):
        tifffile.imwrite(tmp_path / f'{photometric}.tif', np.eye(4, dtype=np.uint8), photometric=photometric)
    np.testing.assert_array_equal(read_map(tmp_path / 'minisblack.tif'), np.eye(4))
    with pytest.raises(DataError, match=r'miniswhite\.tif: a TIFF whose numbers are inverted when it is read'):
        read_map(tmp_path / 'miniswhite.tif')
