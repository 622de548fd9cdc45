import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.utils.errors import DataError


@pytest.fixture
def write(annotated, tmp_path):
    def write(path, categories, segmentations, **others):
        annotated.write_picture(tmp_path / 'pictures' / 'a.png')
        image = dict(id=1, file_name='a.png', height=30, width=40)
        annotations = [
            dict(id=i, image_id=1, category_id=category, segmentation=segmentation, **others)
            for i, (category, segmentation) in enumerate(segmentations)
        ]
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(dict(images=[image], categories=categories, annotations=annotations)))

    return write


def _flat(points):
    return [np.ravel(points).tolist()]


def test_codes_and_polygons_are_drawn_and_supercategories_are_kinds(annotated, write, tmp_path):
    code = coco_mask.encode(np.asfortranarray(annotated.RING.astype(np.uint8)))
    code = dict(size=code['size'], counts=code['counts'].decode())
    categories = [
        dict(id=5, name='round', supercategory='cell'),
        dict(id=7, name='cell/long', supercategory='none'),
        dict(id=8, name='dust', supercategory='dust'),
    ]
    square = _flat(annotated.box(24, 12, 8, 8))
    write('labels.json', categories, [(5, code), (7, square), (8, square)], attributes=dict(stage=2, occluded=False))
    form, found = read_annotations(str(tmp_path))
    assert form == 'coco'
    (scene,) = found.scenes
    assert (scene.name, scene.size, scene.split) == ('a', (30, 40), '')
    ring, one, other = scene.outlines
    np.testing.assert_array_equal(ring.draw(30, 40), annotated.RING)
    np.testing.assert_array_equal(one.draw(30, 40), annotated.SQUARE)
    assert [(item.kind, item.name) for item in (ring, one, other)] == [
        ('cell', 'round'),
        ('cell', 'long'),
        ('dust', ''),
    ]
    assert ring.attributes == dict(stage='2')


def test_the_track_of_an_export_of_cvat_is_no_name(annotated, write, tmp_path):
    squares = [(1, _flat(annotated.box(x, 12, 8, 8))) for x in (4, 24)]
    write('a.json', [dict(id=1, name='cell')], squares, attributes=dict(occluded=False, track_id=0, keyframe=True))
    written = write_dataset(read_annotations(str(tmp_path))[1], tmp_path / 'out')
    assert written.taxonomy.fine_classes == ('cell',)
    assert not any('fine classes are from' in note for note in written.notes)


def test_crowds_are_ignored(annotated, write, tmp_path):
    square = _flat(annotated.box(24, 12, 8, 8))
    write('a.json', [dict(id=1, name='round', supercategory='cell')], [(1, square)], iscrowd=1)
    _, found = read_annotations(str(tmp_path))
    assert [item.is_ignored for item in found.scenes[0].outlines] == [True]
    (note,) = found.notes
    assert f'{tmp_path / "a.json"}: 1 of 1 annotations have iscrowd=1 or ignore=1 and are ignored' in note
    with pytest.raises(DataError, match=r'no picture has an object.*a\.json: 1 of 1 annotations have iscrowd=1'):
        write_dataset(found, tmp_path / 'out')


def test_file_names_say_the_split_and_missing_pictures_are_named(write, tmp_path):
    category = [dict(id=1, name='round', supercategory='cell')]
    write('annotations/instances_train2017.json', category, [])
    write('annotations/instances_val2017.json', category, [])
    content = json.loads((tmp_path / 'annotations/instances_val2017.json').read_text())
    content['images'].append(dict(id=2, file_name='b.png', height=30, width=40))
    (tmp_path / 'annotations/instances_val2017.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert [(scene.name, scene.split) for scene in found.scenes] == [('a', 'train'), ('a', 'val')]
    assert "its picture 'b.png' is not in" in str(found.problems[0])


@pytest.mark.parametrize('files', [('annotations.json',), ('instances_train.json', 'instances_val.json')])
def test_the_folders_of_the_pictures_say_the_split_and_are_not_doubled(annotated, tmp_path, files):
    names = ('train/1.png', 'val/x/1.png')
    images = [dict(id=i, file_name=name, height=30, width=40) for i, name in enumerate(names)]
    for number, name in enumerate(names):
        annotated.write_picture(tmp_path / 'images' / name, number)
    for number, file in enumerate(files):
        content = dict(images=images if len(files) == 1 else images[number : number + 1], annotations=[])
        content['categories'] = [dict(id=1, name='round', supercategory='cell')]
        (tmp_path / file).write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert [(scene.split, scene.place) for scene in found.scenes] == [('train', 'train/1'), ('val', 'val/x/1')]


def test_a_file_may_have_pictures_of_a_folder_of_another_split(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'val/1.png')
    content = dict(images=[dict(id=1, file_name='val/1.png', height=30, width=40)], annotations=[])
    content['categories'] = [dict(id=1, name='round', supercategory='cell')]
    for split in ('train', 'test'):
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert [scene.place for scene in found.scenes] == ['test/val/1', 'train/val/1']


def test_paths_of_another_machine_lead_to_the_picture_and_never_out_of_the_written_folder(write, tmp_path):
    write('a.json', [dict(id=1, name='round', supercategory='cell')], [])
    content = json.loads((tmp_path / 'a.json').read_text())
    picture = tmp_path / 'pictures/a.png'
    for path in (str(picture), '../pictures/a.png', 'C:\\data\\pictures\\a.png', '/elsewhere/a.png'):
        content['images'][0]['file_name'] = path
        (tmp_path / 'a.json').write_text(json.dumps(content))
        (scene,) = read_annotations(str(tmp_path))[1].scenes
        assert scene.picture == picture
        assert not {'', '..', 'C:'} & set(scene.name.split('/'))


def test_a_picture_with_a_box_for_an_object_is_left_out(annotated, write, tmp_path):
    square = _flat(annotated.box(24, 12, 8, 8))
    write('a.json', [dict(id=1, name='round', supercategory='cell')], [(1, square), (1, [])], bbox=[1, 1, 5, 5])
    content = json.loads((tmp_path / 'a.json').read_text())
    content['images'].append(dict(content['images'][0], id=2, file_name='b.png'))
    annotated.write_picture(tmp_path / 'pictures/b.png')
    (tmp_path / 'a.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert [scene.name for scene in found.scenes] == ['b']
    assert 'annotation 1 of image 1: it has no segmentation' in str(found.problems[0])
    content['images'].pop()
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(DataError, match='no picture with an annotation: .*a box is not a mask'):
        read_annotations(str(tmp_path))


def test_of_pictures_of_one_file_name_the_folders_decide(annotated, write, tmp_path):
    write('a.json', [dict(id=1, name='round', supercategory='cell')], [])
    annotated.write_picture(tmp_path / 'others' / 'a.png')
    content = json.loads((tmp_path / 'a.json').read_text())
    content['images'] = [
        dict(content['images'][0], id=i, file_name=name) for i, name in enumerate(('x/others/a.png', 'a.png'))
    ]
    (tmp_path / 'a.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert [scene.picture.parent.name for scene in found.scenes] == ['others']
    assert "the picture 'a.png' may be" in str(found.problems[0])


def test_of_the_files_of_coco_itself_only_instances_are_read(write, tmp_path):
    category = [dict(id=1, name='round', supercategory='cell')]
    write('annotations/instances_train2017.json', category, [])
    write('annotations/person_keypoints_train2017.json', category, [])
    captions = dict(images=[], annotations=[dict(id=1, image_id=1, caption='a cell')])
    (tmp_path / 'annotations/captions_train2017.json').write_text(json.dumps(captions))
    _, found = read_annotations(str(tmp_path))
    assert [scene.source.name for scene in found.scenes] == ['instances_train2017.json']
    assert 'and not captions_train2017.json, person_keypoints_train2017.json' in found.notes[0]


def test_exports_in_folders_of_their_own_have_their_own_pictures(annotated, tmp_path):
    for number, batch in enumerate('xy'):
        annotated.write_picture(tmp_path / batch / 'images/1.png', number)
        content = dict(images=[dict(id=1, file_name='images/1.png', height=30, width=40)], annotations=[])
        content['categories'] = [dict(id=1, name='round', supercategory='cell')]
        (tmp_path / batch / 'result.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tmp_path))
    assert {scene.name: scene.picture for scene in found.scenes} == {
        f'{batch}/result/images/1': tmp_path / batch / 'images/1.png' for batch in 'xy'
    }
    for batch in 'xy':  # of one split, too
        (tmp_path / batch / 'result.json').rename(tmp_path / batch / 'train.json')
    _, found = read_annotations(str(tmp_path))
    assert [scene.place for scene in found.scenes] == [f'train/{batch}/train/images/1' for batch in 'xy']


def test_spaces_around_names_do_not_count(annotated, write, tmp_path):
    square = _flat(annotated.box(24, 12, 8, 8))
    write('a.json', [dict(id=1, name='round ', supercategory='cell')], [(1, square)])
    written = write_dataset(read_annotations(str(tmp_path))[1], tmp_path / 'out')
    assert written.taxonomy.fine_classes == ('round',)
    assert (written.root / 'labels.csv').read_text().splitlines()[1] == 'a,1,round'
