import json
from pathlib import Path

import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.annotations.folders import pair_names, sort_files
from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.utils.errors import DataError, UsageError


def test_the_role_is_a_folder_above_or_below_the_split_or_the_end_of_the_name():
    root = Path('/d')
    files = [
        'images/train/a.png',
        'train/masks/a.png',
        'val/x/images/b.JPG',
        'val/x/Masks/b.png',
        'c.jpg',
        'c_mask.png',
        'd.tif',
        'd_cp_masks.tif',
        'instances/train/a.png',
        'notes.txt',
    ]
    found = sort_files(root, [root / file for file in files])
    places = {
        role: {name: path.relative_to(root).as_posix() for name, path in own.items()} for role, own in found.items()
    }
    assert places == dict(
        picture={'train/a': 'images/train/a.png', 'val/x/b': 'val/x/images/b.JPG', 'c': 'c.jpg', 'd': 'd.tif'},
        mask={'train/a': 'train/masks/a.png', 'val/x/b': 'val/x/Masks/b.png', 'c': 'c_mask.png'},
        region={'d': 'd_cp_masks.tif', 'train/a': 'instances/train/a.png'},
    )
    with pytest.raises(DataError, match=r'a\.jpg and .*a\.png are both the picture'):
        sort_files(root, [root / 'images/a.jpg', root / 'images/a.png', root / 'masks/a.png'])


def test_masks_of_classes(tree):
    form, found = read_annotations(str(tree))
    assert form == 'folders'
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', 'train'), ('b', 'train'), ('a', 'val')]
    assert all(scene.label_map and not scene.region_map for scene in found.scenes)


def test_maps_of_ids_are_known_by_their_values(annotated, tree):
    (tree / 'masks/train/b.png').unlink()
    ids = np.zeros((30, 40), np.uint8)
    for i in range(7):
        ids[4 * i : 4 * i + 3, 5:20] = i + 1
    annotated.write_map(tree / 'masks/train/b.png', ids)
    _, found = read_annotations(str(tree))
    assert [scene.label_map for scene in found.scenes] == [None] * 3
    assert 'the masks are maps of ids' in found.notes[0]
    _, found = read_annotations(str(tree), masks_are='classes')
    assert all(scene.label_map for scene in found.scenes)
    annotated.write_map(tree / 'regions/train/b.png', ids)
    with pytest.raises(UsageError, match='--masks-are ids: .* has maps of regions beside its masks; leave it out'):
        read_annotations(str(tree), masks_are='ids')


def test_files_without_their_counterpart_are_named(annotated, tree):
    (tree / 'masks/val/a.png').rename(tree / 'masks/val/aa.png')
    _, found = read_annotations(str(tree))
    assert [str(error) for error in found.problems] == [
        f"{tree / 'masks/val/aa.png'}: no picture belongs to this mask (there is 'val/a'); rename or remove it",
        f'{tree / "images/val/a.png"}: it has no mask; write it, or take the picture out',
    ]
    assert len(found.scenes) == 2


def test_a_table_names_pictures(tree):
    (tree / 'labels.csv').write_text('\ufeffsplit;image;fine_class\r\ntrain;a;round\r\nval;a;long\r\ntrain;c;long\r\n')
    _, found = read_annotations(str(tree))
    assert [scene.picture_name for scene in found.scenes] == ['round', '', 'long']
    assert [str(error).partition(', ')[2] for error in found.problems] == ["line 4: no picture 'c'; fix the row"]
    (tree / 'labels.csv').write_text('image,fine_class\na,round\nval/a.png,long\n')
    _, found = read_annotations(str(tree))
    assert [scene.picture_name for scene in found.scenes] == ['', '', 'long']
    assert "'a' is the name of 2 pictures; add a column split" in str(found.problems[0])
    (tree / 'labels.csv').write_text('image,fine_id\nval/a.png,0\n')
    with pytest.raises(DataError, match='labels.csv, line 2: beside masks a fine_id has no name'):
        read_annotations(str(tree))


@pytest.mark.parametrize('file', ['classes.json', 'taxonomy.json'])
def test_names_in_masks_beside_names_in_a_table_are_refused(tree, file):
    (tree / file).write_text(json.dumps(dict(stuff=['sky'], kinds=dict(thing=['ring', 'square']))))
    (tree / 'labels.csv').write_text('image,split,fine_class\nb,train,\n')  # a table of splits alone
    assert len(read_annotations(str(tree))[1].scenes) == 3
    (tree / 'labels.csv').write_text('image,fine_class\nb,ring\n')
    with pytest.raises(DataError, match=rf'labels\.csv, line 2: the row names objects, and .*{file} says that mask'):
        read_annotations(str(tree))


def test_the_layout_of_pascal_voc_and_colours(annotated, tmp_path):
    for name in 'abcde':
        annotated.write_picture(tmp_path / f'JPEGImages/{name}.jpg')
    ring, square = annotated.RING, annotated.SQUARE
    for name in 'ab':
        colours, objects = np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40, 3), np.uint8)
        colours[ring | square] = 0, 0, 128  # OpenCV writes blue first: red
        objects[ring], objects[square] = (0, 128, 0), (128, 0, 0)
        annotated.write_map(tmp_path / f'SegmentationClass/{name}.png', colours)
        annotated.write_map(tmp_path / f'SegmentationObject/{name}.png', objects)
    (tmp_path / 'ImageSets/Segmentation').mkdir(parents=True)
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('a\n')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('b\n')
    (tmp_path / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\ncell:128,0,0::\nbackground:0,0,0::\n')
    _, found = read_annotations(str(tmp_path))
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', 'train'), ('b', 'val')]
    assert '3 of 5 pictures have no mask: left out' in found.notes
    written = write_dataset(found, tmp_path.parent / f'{tmp_path.name}_out')
    np.testing.assert_array_equal(read_map(written.root / 'masks/train/a.png'), ring | square)
    np.testing.assert_array_equal(read_map(written.root / 'regions/train/a.png'), 1 * square + 2 * ring)
    assert written.taxonomy.classes == ('background', 'cell')
    (tmp_path / 'labelmap.txt').write_text('background:0,0,0::\n')
    with pytest.raises(DataError, match=r"no class has the colours \['800000'\]"):
        write_dataset(read_annotations(str(tmp_path))[1], written.root)


def test_lists_of_pascal_voc_have_a_name_in_a_line(annotated, tmp_path):
    for name in ('a', 'a 1', 'b c', 'd', 'e\u0301 f'):
        annotated.write_picture(tmp_path / f'JPEGImages/{name}.jpg')
        annotated.write_map(tmp_path / f'SegmentationClass/{name}.png', annotated.RING.astype(np.uint8))
    (tmp_path / 'ImageSets/Segmentation').mkdir(parents=True)
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('a 1\nb c  -1\n\n')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('d 1\r\n\u00e9 f\n', encoding='utf-8')
    splits = {scene.picture.stem: scene.split for scene in read_annotations(str(tmp_path))[1].scenes}
    assert splits == {'a': '', 'a 1': 'train', 'b c': 'train', 'd': 'val', 'e\u0301 f': 'val'}


def _names(files):
    root = Path('/d')
    found = sort_files(root, [root / file for file in files])
    pair_names(found)
    return {role: set(own) for role, own in found.items() if own}


@pytest.mark.parametrize(
    ('pictures', 'maps', 'name'),
    [
        ('img_dir/train/{}.jpg', 'ann_dir/train/{}.png', 'train/{}'),
        ('train_images/{}.jpg', 'train_masks/{}.png', 'train/{}'),
        ('images/{}.jpg', 'annotations/trimaps/{}.png', '{}'),
        ('JPEGImages/{}.jpg', 'SegmentationClassPNG/{}.png', '{}'),
        ('Task1-2_Training_Input/S_{}.jpg', 'Task1_Training_GroundTruth/S_{}_segmentation.png', 'train/S_{}'),
        ('imagesTr/case_{}_0000.png', 'labelsTr/case_{}.png', 'train/case_{}_0000'),
        ('leftImg8bit/val/u/u_{}_leftImg8bit.png', 'gtFine/val/u/u_{}_gtFine_labelIds.png', 'val/u/u_{}_leftImg8bit'),
        ('train_images/{}.jpg', 'masks/{}_L.png', 'train/{}'),
        ('images/image_{}.png', 'masks/mask_{}.png', 'image_{}'),
        ('frames/train/{}.png', 'masks/train/{}.png', 'frames/train/{}'),
        ('a/{}_sat.jpg', 'a/{}_mask.png', 'a/{}_sat'),
        ('p{}/img.png', 'p{}/mask.png', 'p{}/img'),
        ('patient{}_images/1.png', 'patient{}_masks/1.png', 'patient{}/1'),
        ('cell_masks_2020/images/{}.png', 'cell_masks_2020/masks/{}.png', 'cell_2020/{}'),
    ],
)
def test_common_layouts_and_what_all_names_have_in_common(pictures, maps, name):
    numbers = ('10', '11', '21')
    expected = {name.format(number) for number in numbers}
    assert _names([one.format(number) for number in numbers for one in (pictures, maps)]) == dict(
        picture=expected, mask=expected
    )


@pytest.mark.parametrize(
    'maps',
    [
        ('masks/20.png', 'masks/21.png'),
        ('masks/cat/10.png', 'masks/dog/10.png'),
        ('masks/10_cat.png', 'masks/10_dog.png'),
    ],
)
def test_other_names_are_not_paired(maps):
    found = _names(['images/10.png', 'images/11.png', *maps])
    assert not found['picture'] & found['mask']


def test_instances_of_pascal_voc_are_regions_and_drawings_of_masks_are_left_out():
    files = ['JPEGImages/a.jpg', 'SegmentationObject/a.png', 'SegmentationClass/a.png']
    assert _names([*files, 'SegmentationClassVisualization/a.jpg']) == dict(picture={'a'}, mask={'a'}, region={'a'})


def test_pictures_of_folders_without_masks_are_left_out(annotated, tree):
    annotated.write_picture(tree / 'images/test/c.png')
    _, found = read_annotations(str(tree))
    assert len(found.scenes) == 3
    assert not found.problems
    assert found.notes[1:] == [f'left out: 1 of folders without masks, such as {tree / "images/test/c.png"}']


def test_ids_that_no_other_picture_has(annotated, tree):
    squares = np.zeros((30, 40), np.uint8)
    for i in range(4):
        squares[7 * i : 7 * i + 5, 5:20] = i + 1
    for step, name in enumerate(('train/a', 'train/b', 'val/a')):
        annotated.write_map(tree / f'masks/{name}.png', squares + 40 * step * (squares > 0).astype(np.uint8))
    assert 'the masks are maps of ids' in read_annotations(str(tree))[1].notes[0]
    # The same numbers in all pictures may be classes, and are if they have names.
    for name in ('train/a', 'train/b', 'val/a'):
        annotated.write_map(tree / f'masks/{name}.png', squares)
    _, found = read_annotations(str(tree))
    assert found.scenes[0].label_map
    assert 'give --masks-are ids' in found.notes[0]
    (tree / 'classes.json').write_text(json.dumps(['sky', 'a', 'b', 'c', 'd']))
    _, found = read_annotations(str(tree))
    assert len(found.notes) == 1


def test_tables_with_other_columns(tree):
    (tree / 'metadata.csv').write_text('age,image_id,Label\n3,b,round\n4,train/a,long\n')
    (tree / 'other.csv').write_text('x,y\n1,2\n')
    _, found = read_annotations(str(tree))
    assert [(scene.split, scene.picture_name) for scene in found.scenes] == [
        ('train', 'long'),
        ('train', 'round'),
        ('val', ''),
    ]
    assert found.notes[-2:] == [
        f"the columns 'image_id' and 'Label' of {tree / 'metadata.csv'} are pictures and their names",
        f'{tree / "other.csv"} is not read: a table of names has the columns image and fine_class',
    ]
    (tree / 'metadata.csv').write_text('image,fine_class,split\nb,round,fold1\n')
    (problem,) = read_annotations(str(tree))[1].problems
    assert "the split 'fold1' is not train, val or test" in str(problem)


def test_photographs_in_jpeg_with_masks_of_their_names_beside_them(annotated, tmp_path):
    for name in ('x/a', 'x/b'):
        annotated.write_picture(tmp_path / f'{name}.jpg')
        annotated.write_map(tmp_path / f'{name}.png', annotated.RING.astype(np.uint8))
    _, found = read_annotations(str(tmp_path))
    assert [(scene.picture.name, scene.label_map.name) for scene in found.scenes] == [
        ('a.jpg', 'a.png'),
        ('b.jpg', 'b.png'),
    ]


def test_tables_called_after_splits_give_them(tree):
    for name in ('images/train', 'masks/train'):
        (tree / name).rename(tree / name.replace('train', 'x'))
    (tree / 'train.csv').write_text('image,label\nb,round\n')
    (tree / 'val.csv').write_text('image,label,split\nx/a,round,\nval/a,long,train\n')
    _, found = read_annotations(str(tree))
    assert {(scene.name, scene.split): scene.picture_name for scene in found.scenes} == {
        ('x/b', 'train'): 'round',
        ('a', 'val'): '',
        ('x/a', 'val'): 'round',
    }
    (problem,) = found.problems
    assert f'the split is train, and {tree / "images/val/a.png"} is in val; fix the row' in str(problem)


def test_regions_are_numbers(tree):
    (tree / 'labels.csv').write_text('image,region,fine_class\nb,\u00b2,round\n', encoding='utf-8')
    (problem,) = read_annotations(str(tree), masks_are='ids')[1].problems
    assert "line 2: the row names the region '\u00b2'" in str(problem)


def test_a_letter_and_its_mark_may_be_two_characters(annotated, tree):
    annotated.write_picture(tree / 'images/val/e\u0301.png')
    annotated.write_map(tree / 'masks/val/\u00e9.png', annotated.RING.astype(np.uint8))
    _, found = read_annotations(str(tree))
    assert not found.problems
    assert len(found.scenes) == 4
