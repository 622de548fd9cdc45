import json

import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError


@pytest.fixture
def read(annotated, tmp_path):
    def read(*shapes, **others):
        annotated.write_labelme(tmp_path / 'a.json', shapes, **others)
        form, found = read_annotations(str(tmp_path))
        assert form == 'labelme'
        return found

    return read


def _masks(annotated, found):
    return [outline.draw(annotated.HEIGHT, annotated.WIDTH) for outline in found.scenes[0].outlines]


def test_polygons_of_one_group_are_an_object_with_a_hole_and_parts(annotated, read):
    shape, box = annotated.shape, annotated.box
    found = read(
        shape('cell/round', box(4, 5, 10, 10), group_id=3),
        shape('cell/round', box(7, 8, 4, 4), group_id=3),
        shape('cell/round', box(24, 12, 8, 8), group_id=3),
        shape('cell/long', box(24, 12, 8, 8), group_id=3),
        shape('cell/long', box(24, 12, 8, 8)),
    )
    one, *others = _masks(annotated, found)
    np.testing.assert_array_equal(one, annotated.RING | annotated.SQUARE)
    assert len(others) == 2
    np.testing.assert_array_equal(others[0], annotated.SQUARE)
    assert [(item.kind, item.name) for item in found.scenes[0].outlines] == [('cell', 'round'), *[('cell', 'long')] * 2]


def test_masks_may_have_holes_and_reach_beyond_the_picture(annotated, read):
    bitmap = annotated.RING[5:15, 4:14]
    inside, beyond = (
        annotated.shape('cell', [[x, y], [x + 9, y + 9]], 'mask', mask=annotated.encode_mask(bitmap))
        for x, y in ((4, 5), (-3, 24))
    )
    one, other = _masks(annotated, read(inside, beyond))
    np.testing.assert_array_equal(one, annotated.RING)
    expected = np.zeros_like(one)
    expected[24:30, 0:7] = bitmap[:6, 3:]
    np.testing.assert_array_equal(other, expected)


def test_rectangles_and_circles_are_areas_and_lines_are_not(annotated, read):
    found = read(
        annotated.shape('cell', [[32, 20], [24, 12]], 'rectangle'),
        annotated.shape('cell', [[20, 15], [20, 9]], 'circle'),
        annotated.shape('cell', [[1, 1], [5, 5]], 'line'),
    )
    rectangle, circle = _masks(annotated, found)
    np.testing.assert_array_equal(rectangle, annotated.SQUARE)
    assert abs(circle.sum() - np.pi * 36) < 6
    assert circle[15, 14:26].all()
    assert 'number 3 is a line of 2 points, not an area: left out' in found.notes[0]


@pytest.mark.parametrize('kind', ['oriented_rectangle', 'rotation', 'quadrilateral'])
def test_turned_rectangles_are_areas(annotated, read, kind):
    (mask,) = _masks(annotated, read(annotated.shape('cell', annotated.box(24, 12, 8, 8), kind)))
    np.testing.assert_array_equal(mask, annotated.SQUARE)


def test_the_keys_of_a_file_may_be_sorted(annotated, tmp_path):
    annotated.write_labelme(tmp_path / 'a.json', [annotated.shape('cell', annotated.box(1, 1, 5, 5))])
    content = json.loads((tmp_path / 'a.json').read_text())
    content['imageData'] = 9000 * 'A'
    (tmp_path / 'a.json').write_text(json.dumps(content, sort_keys=True))
    assert read_annotations(str(tmp_path))[0] == 'labelme'


def test_names_come_from_flags_or_the_description(annotated, read):
    box = annotated.box(4, 5, 10, 10)
    found = read(
        annotated.shape('cell', box, flags=dict(round=True, long=False)),
        annotated.shape('cell', box, description='type=long, stage: 2'),
        annotated.shape('cell', box, description='looks odd'),
    )
    attributes = [item.attributes for item in found.scenes[0].outlines]
    assert attributes == [dict(flag='round'), dict(type='long', stage='2'), dict(description='looks odd')]


@pytest.mark.parametrize(
    ('spoilt', 'message'),
    [
        (dict(label=' '), 'shape number 1 has no label'),
        (dict(points=[[1, 2], [3]]), 'shape number 1 has no list of points'),
        (dict(points='x'), 'shape number 1 has no list of points'),
        (dict(shape_type='mask', mask='!'), 'shape number 1 is a mask without a picture'),
        (dict(shape_type='mask', mask=None), 'shape number 1 is a mask without a picture'),
    ],
)
def test_what_cannot_be_read_is_named(annotated, tmp_path, spoilt, message):
    annotated.write_labelme(tmp_path / 'b.json', [])
    annotated.write_labelme(tmp_path / 'a.json', [{**annotated.shape('cell', annotated.box(1, 1, 5, 5)), **spoilt}])
    _, found = read_annotations(str(tmp_path))
    assert len(found.scenes) == 1
    assert str(found.problems[0]).startswith(f'{tmp_path / "a.json"}: {message}')


def test_pictures_are_found_where_they_were_moved_to(annotated, tmp_path):
    annotated.write_labelme(tmp_path / 'val' / 'ä b.json', [], picture='C:\\pictures\\ä b.png')
    annotated.write_labelme(tmp_path / 'gone.json', [], picture='gone.png')
    (tmp_path / 'gone.png').unlink()
    annotated.write_picture(tmp_path / 'new.JPG')
    (tmp_path / 'notes.json').write_text(json.dumps(dict(text='mine')))
    _, found = read_annotations(str(tmp_path))
    assert [(scene.name, scene.split, scene.picture.name) for scene in found.scenes] == [('ä b', 'val', 'ä b.png')]
    assert [str(error) for error in found.problems] == [
        f"{tmp_path / 'gone.json'}: its picture 'gone.png' is not there; put it beside the file"
    ]
    assert found.notes == [f'1 pictures have no JSON file and are left out, such as {tmp_path / "new.JPG"}']


def test_a_picture_in_another_folder_is_found_if_no_other_file_has_it(annotated, tmp_path):
    shapes = [annotated.shape('cell', annotated.box(1, 2, 8, 8))]
    annotated.write_labelme(tmp_path / 'json/a.json', shapes, 'C:\\me\\a.png', imageData='iVBO')
    (tmp_path / 'images').mkdir()
    (tmp_path / 'json/a.png').rename(tmp_path / 'images/a.png')
    (scene,) = read_annotations(str(tmp_path))[1].scenes
    assert scene.picture == tmp_path / 'images/a.png'
    (tmp_path / 'images/a.json').write_text('{}')
    with pytest.raises(DataError, match="its picture 'C:.*a.png' is not there; .*by labelme_export_json"):
        read_annotations(str(tmp_path))


def test_a_group_may_be_anything(annotated, tmp_path):
    shapes = [annotated.shape('cell', annotated.box(x, 5, 4, 4), group_id=[1]) for x in (4, 14)]
    annotated.write_labelme(tmp_path / 'a.json', shapes)
    (scene,) = read_annotations(str(tmp_path))[1].scenes
    assert [int(outline.draw(30, 40).sum()) for outline in scene.outlines] == [32]
