import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError

# The ring: its outline, a bridge to the hole, the hole, and the bridge back.
RING = [(4, 5), (14, 5), (14, 15), (4, 15), (4, 5), (7, 8), (7, 12), (11, 12), (11, 8), (7, 8), (4, 5)]


def _line(label, points):
    return f'{label} ' + ' '.join(f'{x / 40:.6f} {y / 30:.6f}' for x, y in points)


@pytest.fixture
def read(annotated, tmp_path):
    def read(*lines, names='names: [round, cell/long]\n'):
        for name in ('a', 'b'):
            annotated.write_picture(tmp_path / f'train/images/{name}.jpg')
        (tmp_path / 'train/labels').mkdir(exist_ok=True)
        (tmp_path / 'train/labels/a.txt').write_text('\n'.join(lines) + '\n')
        (tmp_path / 'data.yaml').write_text(names)
        form, found = read_annotations(str(tmp_path))
        assert form == 'yolo'
        return found

    return read


def test_polygons_with_bridged_holes(annotated, read):
    found = read(_line(0, RING), '', _line(1, annotated.box(24, 12, 8, 8)))
    assert [(scene.name, scene.split, len(scene.outlines)) for scene in found.scenes] == [
        ('a', 'train', 2),
        ('b', 'train', 0),
    ]
    ring, square = found.scenes[0].outlines
    np.testing.assert_array_equal(ring.draw(30, 40), annotated.RING)
    np.testing.assert_array_equal(square.draw(30, 40), annotated.SQUARE)
    assert [(item.kind, item.name) for item in (ring, square)] == [('round', ''), ('cell', 'long')]
    assert found.notes == ['1 of 2 pictures have no text file, and so no object']


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('0 0.1 0.1 0.2 0.2', 'a box is not a mask'),
        ('0 0.1 0.1 0.2 0.2 0.3', 'not a class and a polygon'),
        ('0 10 10 20 20 30 10', 'not a class and a polygon'),
        ('7 0.1 0.1 0.2 0.2 0.3 0.1', 'no name for class 7'),
        ('0 0.1 0.1 0.2 0,2 0.3 0.1', 'not a class and a polygon'),
    ],
)
def test_what_cannot_be_read_is_named(read, line, message):
    assert message in str(read(_line(0, RING), line).problems[0])
    assert 'a.txt, line 2' in str(read(_line(0, RING), line).problems[0])


def test_names_by_number(read):
    found = read(_line(3, RING), names='nc: 1\nnames:\n  3: ring\n')
    assert found.scenes[0].outlines[0].kind == 'ring'
    with pytest.raises(DataError, match='names must be a list'):
        read(_line(3, RING), names='names: 3\n')
    with pytest.raises(DataError, match=r'data\.yaml: not YAML with names \(ParserError\); export it again'):
        read(_line(3, RING), names='names: [round\n')


def test_names_are_as_they_are_written(annotated, read, tmp_path):
    assert read(_line(0, RING), names='names: [no, 02]\n').scenes[0].outlines[0].kind == 'no'
    assert read(_line('1.0', RING), names='names: [no, 02]\n').scenes[0].outlines[0].kind == '02'
    (tmp_path / 'data.yaml').rename(tmp_path / 'classes.txt').write_text('long\n\nround\n')
    (tmp_path / 'train/labels/a.txt').write_text(_line(2, RING))
    assert read_annotations(str(tmp_path))[1].scenes[0].outlines[0].kind == 'round'


def test_each_folder_has_names_of_its_own(annotated, tmp_path):
    for folder, names in dict(one='[round, long]', two='[long, round]').items():
        annotated.write_picture(tmp_path / folder / 'images/a.jpg')
        (tmp_path / folder / 'labels').mkdir()
        (tmp_path / folder / 'labels/a.txt').write_text(_line(0, RING))
        (tmp_path / folder / 'data.yaml').write_text(f'names: {names}')
    _, found = read_annotations(str(tmp_path))
    assert [(scene.name, scene.outlines[0].kind) for scene in found.scenes] == [('one/a', 'round'), ('two/a', 'long')]
    (tmp_path / 'two/old.yaml').write_text('names: [round, long]')
    (problem,) = read_annotations(str(tmp_path))[1].problems
    one, other = tmp_path / 'two/data.yaml', tmp_path / 'two/old.yaml'
    assert f'{tmp_path}/two/labels/a.txt: {one} and {other} have other names' in str(problem)


def test_the_first_pictures_may_have_no_object(annotated, tmp_path):
    for number in range(22):
        annotated.write_picture(tmp_path / f'{number:02}.jpg')
        (tmp_path / f'{number:02}.txt').write_text(_line(0, RING) if number == 21 else '')
    (tmp_path / 'classes.txt').write_text('round\n')
    form, found = read_annotations(str(tmp_path))
    assert (form, [len(scene.outlines) for scene in found.scenes]) == ('yolo', [0] * 21 + [1])


def test_text_files_beside_the_pictures_and_a_list_of_names(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'a.jpg')
    (tmp_path / 'a.txt').write_text(_line(1, RING))
    (tmp_path / 'classes.txt').write_text('long\nround\n')
    form, found = read_annotations(str(tmp_path))
    assert form == 'yolo'
    assert [(item.kind, item.name) for item in found.scenes[0].outlines] == [('round', '')]


def test_the_name_of_a_picture_is_no_split(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'images/test.jpg')
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels/test.txt').write_text(_line(0, RING))
    (tmp_path / 'data.yaml').write_text('names: [round]')
    (scene,) = read_annotations(str(tmp_path))[1].scenes
    assert (scene.name, scene.split, len(scene.outlines)) == ('test', '', 1)


def test_a_text_file_of_no_picture_is_named(read, tmp_path):
    (tmp_path / 'train/labels').mkdir(parents=True)
    (tmp_path / 'train/labels/bb.txt').write_text(_line(0, RING))
    (tmp_path / 'train/labels/notes.txt').write_text('of May')
    found = read(_line(0, RING))
    (problem,) = found.problems
    file = tmp_path / 'train/labels/bb.txt'
    assert str(problem) == f"{file}: no picture belongs to this file (there is 'train/b'); rename or remove it"


@pytest.mark.parametrize(
    ('train', 'val', 'lists'),
    [
        ('images/one', '../images/two', {}),  # as Roboflow writes it
        ('lists/train.txt', '[lists/val.txt]', dict(train='../images/one/a.jpg', val='../images/two/b.jpg\n')),
        ('train.txt', 'val.txt', dict(train='data/images/one/a.jpg', val='C:\\data\\images\\two\\b.jpg')),
    ],
)
def test_splits_are_those_of_the_folders_and_lists_that_are_named(annotated, tmp_path, train, val, lists):
    for place in ('one/a', 'two/b', 'c'):
        annotated.write_picture(tmp_path / f'set/images/{place}.jpg')
        text = tmp_path / f'set/labels/{place}.txt'
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(_line(0, RING))
    for name, content in lists.items():
        path = tmp_path / 'set' / {'train': train, 'val': val.strip('[]')}[name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    (tmp_path / 'data.yaml').write_text(f'path: /another/machine/set\ntrain: {train}\nval: {val}\nnames: [round]\n')
    _, found = read_annotations(str(tmp_path))
    assert {scene.picture.stem: scene.split for scene in found.scenes} == dict(a='train', b='val', c='')
    assert not found.notes
    assert not found.problems


def test_a_picture_of_two_splits_is_in_none(annotated, read):
    """As where no split was made, and the form wants both."""
    found = read(_line(0, RING), names='train: train\nval: [train/images, none.txt]\nnames: [round]\n')
    assert [scene.split for scene in found.scenes] == ['train', 'train']  # by the name of their folder
    assert found.notes[0].endswith('data.yaml: none.txt, which has the pictures of val, is not there')


def test_lines_that_name_no_picture_are_counted(annotated, read, tmp_path):
    (tmp_path / 'val.txt').write_text(f'train/images/b.jpg\n\nelsewhere/z.jpg\ntrain/images\n{"x" * 300}.jpg\n')
    found = read(_line(0, RING), names='val: val.txt\nnames: [round]\n')
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', 'train'), ('b', 'val')]
    assert found.notes[0].endswith('val.txt: 3 of 4 lines name no picture that is there')


def test_a_picture_by_itself_and_a_folder_that_is_missing(read):
    found = read(_line(0, RING), names=f'val: train/images/b.jpg\ntest: {"x" * 300}\nnames: [round]\n')
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', 'train'), ('b', 'val')]
    assert found.notes[0].endswith('x, which has the pictures of test, is not there')
