import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
# A ring of 10x10 with a hole of 4x4, which is the same along the rows of its box and down its columns.
RUNS = '0, 33, 4, 6, 4, 6, 4, 6, 4, 33'
# Not so the upper two rows of a box of 4x3.
ROWS = '0,8,4'


@pytest.fixture
def read(annotated, tmp_path):
    def read(shapes, head=HEAD, image='<image id="0" name="a.png" width="40" height="30">'):
        annotated.write_picture(tmp_path / 'a.png')
        text = f'{head}{image}{shapes}</image></annotations>'
        (tmp_path / 'annotations.xml').write_text(text, encoding='utf-8')
        form, found = read_annotations(str(tmp_path))
        assert form == 'cvat'
        return found

    return read


def _masks(annotated, found):
    return [outline.draw(annotated.HEIGHT, annotated.WIDTH) for outline in found.scenes[0].outlines]


def test_masks_run_along_the_rows(annotated, read):
    ring = f'<mask label="cell" rle="{RUNS}" left="4" top="5" width="10" height="10"/>'
    rows = f'<mask label="cell" rle="{ROWS}" left="38" top="1" width="4" height="3"/>'
    one, other = _masks(annotated, read(ring + rows))
    np.testing.assert_array_equal(one, annotated.RING)
    expected = np.zeros_like(one)
    expected[1:3, 38:] = True
    np.testing.assert_array_equal(other, expected)


def test_polygons_of_a_group_are_one_object_and_attributes_are_read(annotated, read):
    polygons = [
        '<polygon label="cell" points="4,5;14,5;14,15;4,15" group_id="1">'
        '<attribute name="type">round</attribute><attribute name="checked">true</attribute></polygon>',
        '<polygon label="cell" points="7,8;11,8;11,12;7,12" group_id="1"/>',
        '<box label="cell/long" xtl="24" ytl="12" xbr="32" ybr="20" group_id="0"/>',
        '<ellipse label="cell" cx="20" cy="15" rx="6" ry="3"/>',
        '<points label="cell" points="1,1"/>',
    ]
    found = read(''.join(polygons))
    ring, square, ellipse = _masks(annotated, found)
    np.testing.assert_array_equal(ring, annotated.RING)
    np.testing.assert_array_equal(square, annotated.SQUARE)
    assert abs(ellipse.sum() - np.pi * 18) < 6
    outlines = found.scenes[0].outlines
    assert [(item.kind, item.name, item.attributes) for item in outlines] == [
        ('cell', '', dict(type='round')),
        ('cell', 'long', {}),
        ('cell', '', {}),
    ]
    assert 'a points is not an area' in found.notes[0]


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        ('<polygon label="cell" points="1,1;2,2"/>', 'a polygon has not three points'),
        ('<polygon label="cell" points="1,nan;2,2;3,3"/>', 'a polygon has not three points'),
        ('<polygon points="1,1;2,2;3,1"/>', 'a polygon has no label'),
        ('<mask label="cell" rle="3,4" left="0" top="0" width="2" height="2"/>', 'do not add up to its 2x2'),
        ('<mask label="cell" rle="4" left="-1" top="0" width="2" height="2"/>', "mask has left='-1'"),
        ('<box label="cell" xtl="x" ytl="1" xbr="2" ybr="2"/>', "box has xtl='x'"),
    ],
)
def test_what_cannot_be_read_is_named(read, shapes, message):
    with pytest.raises(DataError, match=rf"image 'a\.png': .*{message}"):
        read(shapes)


def test_documents_that_could_grow_are_refused(read):
    with pytest.raises(DataError, match='declares a document type'):
        read('', head='<!DOCTYPE a [<!ENTITY b "c">]>\n<annotations>')
    with pytest.raises(DataError, match='not XML'):
        read('<polygon>')


def test_subsets_are_splits(annotated, read):
    found = read('', image='<image id="0" name="a.png" subset="Validation" width="40" height="30">')
    assert [(scene.name, scene.split, scene.size) for scene in found.scenes] == [('a', 'val', (30, 40))]
    found = read('', image='<image id="0" name="a.png" subset="Default" width="40" height="30">')
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', '')]
    found = read('', image='<image id="0" name="a.png" subset="night" width="40" height="30">')
    assert [(scene.name, scene.split) for scene in found.scenes] == [('night/a', '')]


def test_of_equal_names_the_subset_decides(annotated, tmp_path):
    for subset in ('train', 'val', 'x'):
        annotated.write_picture(tmp_path / f'images/{subset}/a.png')
    images = [f'<image name="a.png" subset="{subset}" width="40" height="30"/>' for subset in ('train', 'val')]
    (tmp_path / 'annotations.xml').write_text(f'{HEAD}{"".join(images)}</annotations>')
    _, found = read_annotations(str(tmp_path))
    assert [(scene.picture.parent.name, scene.split) for scene in found.scenes] == [('train', 'train'), ('val', 'val')]


def test_boxes_and_ellipses_are_turned_clockwise_around_their_centres(annotated, read):
    shapes = [
        '<box label="cell" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90.00"/>',
        '<ellipse label="cell" cx="20" cy="15" rx="10" ry="2" rotation="45.00"/>',
    ]
    box, ellipse = _masks(annotated, read(''.join(shapes)))
    expected = np.zeros_like(box)
    expected[7:17, 13:17] = True
    np.testing.assert_array_equal(box, expected)
    # From the upper left to the lower right.
    assert [bool(ellipse[y, x]) for y, x in ((9, 14), (20, 25), (9, 25), (20, 14))] == [True, True, False, False]
    assert abs(ellipse.sum() - np.pi * 20) < 6


def test_tracks_of_a_video_are_named(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'a.png')
    (tmp_path / 'a.xml').write_text(f'{HEAD}<track id="0" label="cell"/></annotations>')
    with pytest.raises(
        DataError, match=r'a\.xml: tracks of a video, which are not read; export "CVAT for images 1\.1"'
    ):
        read_annotations(str(tmp_path))
