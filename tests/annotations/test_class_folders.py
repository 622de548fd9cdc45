import cv2
import numpy as np
import pytest

from deepunetto_mm.annotations import class_folders, read_annotations
from deepunetto_mm.utils.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(path, radius=8):
        picture = np.full((40, 40, 3), 220, np.uint8)
        cv2.circle(picture, (20, 20), radius, (60, 40, 90), -1)
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / path), picture)
        return (picture[..., 0] < 100).astype(bool)

    return write


def test_folders_are_classes_and_masks_come_from_brightness(write, tmp_path):
    mask = write('train/round/1.png')
    write('train/long/1.png', 5)
    write('val/round/2.png')
    form, found = read_annotations(str(tmp_path))
    assert form == 'class_folders'
    assert [(scene.name, scene.split, scene.outlines[0].name) for scene in found.scenes] == [
        ('long/1', 'train', 'long'),
        ('round/1', 'train', 'round'),
        ('round/2', 'val', 'round'),
    ]
    np.testing.assert_array_equal(found.scenes[1].outlines[0].draw(40, 40), mask)
    assert 'there are no masks: they are made by the threshold' in found.notes[0]


def test_a_mask_of_another_size_than_its_picture_is_named(write, tmp_path):
    for path in ('round/1.png', 'long/1.png'):
        write(path)
    (_, scene) = read_annotations(str(tmp_path))[1].scenes
    with pytest.raises(DataError, match=r'round/1\.png: the mask is 40x40 pixels, but its picture 40x41; make them eq'):
        scene.outlines[0].draw(41, 40)


def test_tables_name_pictures_and_kinds(write, tmp_path):
    for name in ('1', '2', '3', '4', '5'):
        write(f'images/{name}.png')
    (tmp_path / 'train.csv').write_text('image,fine_id\nimages/1.png,0\n2,1\nx,1\n')
    (tmp_path / 'val.csv').write_text('image,fine_id\n3.png,1\n')
    (tmp_path / 'classes.csv').write_text('fine,fine_id,coarse,coarse_id\nlime,0,citrus,0\ngala,1,apple,1\n')
    _, found = read_annotations(str(tmp_path))
    found_names = [
        (scene.picture.stem, scene.split, scene.outlines[0].kind, scene.outlines[0].name) for scene in found.scenes
    ]
    assert found_names == [
        ('1', 'train', 'citrus', 'lime'),
        ('2', 'train', 'apple', 'gala'),
        ('3', 'val', 'apple', 'gala'),
    ]
    assert "line 4: no picture 'x'" in str(found.problems[0])
    assert any(
        note.startswith('2 pictures are in no row of the tables and are left out, such as ') for note in found.notes
    )


def test_folders_of_pictures_and_of_masks_are_no_classes(write, tmp_path):
    for index in range(2):
        write(f'scans/{index}.png')
        picture = np.random.default_rng(index).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        (tmp_path / 'photographs').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'photographs/{index}.png'), picture)
    with pytest.raises(DataError, match="'scans' have the few colours of masks, and those in 'photographs' not"):
        read_annotations(str(tmp_path))
    assert len(read_annotations(str(tmp_path), 'class_folders')[1].scenes) == 4


def test_folders_called_after_pictures_are_no_classes(write, tmp_path):
    for folder in ('train_images', 'test_images'):
        write(f'{folder}/1.png')
    with pytest.raises(DataError, match='called after pictures, and not after classes'):
        read_annotations(str(tmp_path))
    for folder in ('with_mask', 'without_mask'):
        write(f'faces/{folder}/1.png')
    assert read_annotations(str(tmp_path / 'faces'))[0] == 'class_folders'


def test_folders_above_those_of_the_classes_are_none(write, tmp_path):
    for name in ('photos of 2020/round/1', 'photos of 2020/long/1', 'photos of 2020/long/twice/2'):
        write(f'{name}.png')
    form, found = read_annotations(str(tmp_path))
    assert form == 'class_folders'
    assert [scene.outlines[0].name for scene in found.scenes] == ['long', 'long', 'round']


def test_a_class_that_is_called_as_a_split_is_named(write, tmp_path):
    for path in ('car/1.png', 'train/1.png'):
        write(path)
    with pytest.raises(DataError, match=r"train/1\.png is in no folder of a class: 'train' is read as a split; call"):
        read_annotations(str(tmp_path))


def test_columns_of_other_tables_and_splits_by_other_words(write, tmp_path):
    for name in ('1', '2'):
        write(f'images/{name}.png')
    (tmp_path / 'labels.csv').write_text('filename,label,split\n1.png,round,training\n2.png,long,valid\n')
    _, found = read_annotations(str(tmp_path))
    assert [(scene.split, scene.outlines[0].name) for scene in found.scenes] == [('train', 'round'), ('val', 'long')]


@pytest.mark.parametrize('others', [{}, {'test.csv': '1.png,dog\n'}])
def test_of_equal_names_the_folder_of_the_table_counts(write, tmp_path, others):
    for path in ('train/1.png', 'test/1.png'):
        write(path)
    for table, rows in {'train.csv': '1.png,cat\n', **others}.items():
        (tmp_path / table).write_text(f'image,label\n{rows}')
    _, found = read_annotations(str(tmp_path))
    names = {scene.picture.relative_to(tmp_path).as_posix(): scene.outlines[0].name for scene in found.scenes}
    assert names == {'train/1.png': 'cat', **({'test/1.png': 'dog'} if others else {})}
    assert all(scene.split == scene.picture.parent.name for scene in found.scenes)


def test_names_of_several_pictures_are_refused_and_splits_and_paths_tell_them_apart(write, tmp_path):
    for path in ('train/1.png', 'test/1.png', '2.png', 'x/2.png'):
        write(path)
    (tmp_path / 'labels.csv').write_text('image,label,split\n1,cat,test\n2.png,dog,\nx/2.png,cat,val\n1,cat,\n')
    _, found = read_annotations(str(tmp_path))
    assert [(scene.picture.relative_to(tmp_path).as_posix(), scene.split) for scene in found.scenes] == [
        ('test/1.png', 'test'),
        ('2.png', ''),
        ('x/2.png', 'val'),
    ]
    (problem,) = found.problems
    assert "line 5: '1' is the name of 2 pictures; add a column split, or write the whole path" in str(problem)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(DataError, match='no picture with an annotation'):
        read_annotations(str(tmp_path), 'class_folders')


def test_without_scikit_image_pictures_are_objects_as_a_whole(annotated, tmp_path, monkeypatch):
    for name in ('cat/a', 'dog/b'):
        annotated.write_picture(tmp_path / f'{name}.png', len(name))
    monkeypatch.setattr(class_folders, 'find_spec', lambda name: None)
    _, found = read_annotations(str(tmp_path))
    assert found.whole
    assert 'needs scikit-image (pip install scikit-image): each picture is taken for one object' in found.notes[0]
    assert found.scenes[0].outlines[0].draw(2, 3).all()
