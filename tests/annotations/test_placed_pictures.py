"""Pictures of a written dataset: linked, turned, or written again."""

import cv2
import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.annotations.placed_pictures import PlacedPictures
from deepunetto_mm.annotations.scenes import Scene
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import read_picture


def test_a_picture_is_linked_under_its_split_and_removed(annotated, tmp_path):
    for name in ('a.JPEG', 'b.jpg'):
        annotated.write_picture(tmp_path / name, shape=(30, 40))
    notes = []
    placed = PlacedPictures(tmp_path / 'out', [tmp_path / 'a.JPEG', tmp_path / 'b.jpg'], notes)
    assert (placed.suffix, notes) == ('.jpg', [])
    scene = Scene('x/a', tmp_path / 'a.JPEG', tmp_path / 'a.json', 'val')
    assert placed.place(scene) == (30, 40)
    link = tmp_path / 'out/images/val/x/a.jpg'
    assert link.samefile(tmp_path / 'a.JPEG')
    placed.remove(scene)
    assert not link.is_symlink()
    assert (tmp_path / 'a.JPEG').exists()
    placed.remove(scene)  # there is nothing to remove
    scene.size = (30, 41)
    with pytest.raises(DataError, match=r'a\.json: the annotation is 41x30 pixels, but its picture .*a\.JPEG 40x30;'):
        placed.place(scene)
    (tmp_path / 'a.JPEG').write_bytes(b'')
    with pytest.raises(DataError, match=r'a\.JPEG: not a picture, or a damaged one'):
        placed.place(scene)


def test_other_suffixes_are_written_again(annotated, tmp_path):
    for name in ('a.PNG', 'b.png', 'c.bmp'):
        annotated.write_picture(tmp_path / 'in' / name)
        mask = annotated.RING.astype(np.uint8)
        annotated.write_map(tmp_path / 'in' / f'{name[0]}_mask.png', mask)
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    assert written.img_suffix == '.png'
    assert sorted(path.name for path in (tmp_path / 'out/images').iterdir()) == ['a.png', 'b.png', 'c.png']
    same = cv2.imread(str(tmp_path / 'out/images/c.png'))
    np.testing.assert_array_equal(same, cv2.imread(str(tmp_path / 'in/c.bmp')))
    assert 'were written again as .png' in written.notes[0]


@pytest.mark.parametrize(('shape', 'turned'), [((40, 30), True), ((30, 40), False)])
def test_photographs_are_turned_as_their_annotation_is(annotated, tmp_path, shape, turned):
    (tmp_path / 'in').mkdir()
    exif = Image.Exif()
    exif[274] = 6
    Image.new('RGB', (40, 30)).save(tmp_path / 'in/a.jpg', exif=exif)
    annotated.write_map(tmp_path / 'in/a_mask.png', np.eye(*shape, dtype=np.uint8))
    _, found = read_annotations(str(tmp_path / 'in'))
    written = write_dataset(found, tmp_path / 'out')
    assert cv2.imread(str(tmp_path / 'out/images/a.jpg')).shape[:2] == shape
    assert (tmp_path / 'out/images/a.jpg').is_symlink() == turned
    assert any('written again as it is stored' in note for note in written.notes) != turned


@pytest.mark.parametrize(
    ('values', 'suffix', 'others'),
    [
        (np.full((30, 40), 1000, np.uint16), '.tif', '.bmp'),
        (np.full((30, 40), 0.5, np.float32), '.tif', '.png'),
        (np.full((30, 40), -300, np.int16), '.tif', '.png'),
        (np.zeros((30, 40, 3), np.uint8), '.png', '.pgm'),
        (np.full((30, 40), 1000, np.uint16), '.tif', '.png'),
    ],
)
def test_values_that_the_format_of_most_pictures_cannot_have_are_refused(annotated, tmp_path, values, suffix, others):
    mask = annotated.RING.astype(np.uint8)
    for name in 'abc':
        annotated.write_map(tmp_path / f'in/{name}_mask.png', mask)
    for name in 'ab':
        annotated.write_picture(tmp_path / f'in/{name}{others}', shape=(30, 40))
    (tmp_path / f'in/c{suffix}').write_bytes(cv2.imencode(suffix, values)[1].tobytes())
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'out')
    file = tmp_path / f'out/images/c{others}'
    if values.dtype == np.uint16 and others == '.png':
        np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), values)
        return
    (problem,) = written.problems
    assert f'c{suffix}: {values[0, 0].size} bands of {values.dtype}, which {others}, the format of' in str(problem)
    assert not file.exists()


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_a_tiff_is_turned_once(tmp_path, orientation):
    picture = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / 'a.tif', tiffinfo={274: orientation})
    shape = (30, 40) if orientation == 3 else (40, 30)
    assert read_picture(tmp_path / 'a.tif').shape[:2] == shape
    placed = PlacedPictures(tmp_path / 'out', [tmp_path / 'a.tif'], [])
    scene = Scene('a', tmp_path / 'a.tif', tmp_path / 'a.json')
    for scene.size in (None, shape):
        assert placed.place(scene) == shape
        assert (tmp_path / 'out/images/a.tif').is_symlink()
    scene.size = (41, 30)
    with pytest.raises(DataError, match=rf'is 30x41 pixels, but its picture .*a\.tif {shape[1]}x{shape[0]}; make'):
        placed.place(scene)


def test_of_several_pages_the_first_is_read_and_it_is_said(tmp_path):
    pages = [Image.new('L', (40, 30)) for _ in range(3)]
    pages[0].save(tmp_path / 'a.tif', save_all=True, append_images=pages[1:])
    notes = []
    placed = PlacedPictures(tmp_path / 'out', [tmp_path / 'a.tif'], notes)
    assert placed.place(Scene('a', tmp_path / 'a.tif', tmp_path / 'a.json')) == (30, 40)
    assert notes == [
        f'{tmp_path / "a.tif"}: only the first of its 3 pages is read; if all count, write a file for each'
    ]
