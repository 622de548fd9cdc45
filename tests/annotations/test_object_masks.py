import cv2
import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError


def test_the_layout_of_the_data_science_bowl(annotated, tmp_path):
    for name in ('a1', 'b2'):
        annotated.write_picture(tmp_path / f'train/{name}/images/{name}.png')
        annotated.write_map(tmp_path / f'train/{name}/masks/0.png', 255 * annotated.RING.astype(np.uint8))
        annotated.write_map(tmp_path / f'train/{name}/masks/1.png', 255 * annotated.SQUARE.astype(np.uint8))
    form, found = read_annotations(str(tmp_path))
    assert form == 'object_masks'
    assert [(scene.name, scene.split, len(scene.outlines)) for scene in found.scenes] == [
        ('a1', 'train', 2),
        ('b2', 'train', 2),
    ]
    ring, square = found.scenes[0].outlines
    np.testing.assert_array_equal(ring.draw(30, 40), annotated.RING)
    np.testing.assert_array_equal(square.draw(30, 40), annotated.SQUARE)
    assert ring.kind == 'object'
    with pytest.raises(DataError, match=r'0\.png: the mask is 40x30 pixels, but its picture 40x31'):
        ring.draw(31, 40)


def test_folders_below_are_classes(annotated, tmp_path):
    for name in ('a', 'b', 'c'):
        annotated.write_picture(tmp_path / f'images/{name}.jpg')
    for path in ('a/round/1', 'a/long/1', 'b/2'):
        annotated.write_map(tmp_path / f'masks/{path}.png', annotated.RING.astype(np.uint8))
    _, found = read_annotations(str(tmp_path))
    assert {scene.name: sorted(item.kind for item in scene.outlines) for scene in found.scenes} == dict(
        a=['long', 'round'], b=['object']
    )
    assert found.notes == [f'1 pictures have no mask and are left out, such as {tmp_path / "images/c.jpg"}']


def test_smoothed_edges_are_no_part_of_an_object(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'a/images/a.png')
    square = annotated.SQUARE
    mask = np.where(square, 255, cv2.dilate(square.astype(np.uint8), np.ones((3, 3))) * 90).astype(np.uint8)
    for number in (1, 2):
        annotated.write_map(tmp_path / f'a/masks/{number}.png', mask)
    (scene,) = read_annotations(str(tmp_path))[1].scenes
    np.testing.assert_array_equal(scene.outlines[0].draw(30, 40), square)


def test_the_name_of_a_picture_is_no_split(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'images/test.png')
    for number in (1, 2):
        annotated.write_map(tmp_path / f'masks/test/{number}.png', annotated.RING.astype(np.uint8))
    form, found = read_annotations(str(tmp_path))
    assert form == 'object_masks'
    assert [(scene.name, scene.split, len(scene.outlines)) for scene in found.scenes] == [('test', '', 2)]
