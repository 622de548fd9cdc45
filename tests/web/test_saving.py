"""Corrected predictions as files, read back by this package and by others."""

import csv
import io
import json
import zipfile

import cv2
import numpy as np
import pytest

pytest.importorskip('fastapi')

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.web import Gallery
from deepunetto_mm.web.saving import save


@pytest.fixture
def gallery(make_model):
    return Gallery(make_model())


def _unpack(file, folder):
    assert file.media_type == 'application/zip'
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        archive.extractall(folder)
    return folder


def _read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_training_data_have_the_corrected_names(gallery, png, picture, tmp_path):
    picture[4, 4:7] = 0
    picture[4:6, 4:6, 0] = 200  # a blue bead of 4 pixels, which ties with the red one
    picture[0, 7, 1] = 200
    gallery.add('a.png', png(picture))
    gallery.add('other/a.png', png(np.zeros((4, 4, 3), np.uint8)))
    gallery.correct(1, 1, dict(fine_class='blue bead'))
    gallery.correct(1, 2, dict(dropped=True))
    folder = _unpack(save('training', gallery.pictures, gallery.model.taxonomy), tmp_path / 'saved')
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.*')) == [
        'images/a.png',
        'images/a_2.png',
        'labels.csv',
        'masks/a.png',
        'masks/a_2.png',
        'regions/a.png',
        'regions/a_2.png',
        'taxonomy.json',
    ]
    np.testing.assert_array_equal(_read(folder / 'images/a.png'), picture)
    bead, rod = picture[..., 2] > 0, picture[..., 1] > 0
    assert _read(folder / 'masks/a.png').tolist() == (bead + 2 * rod + 255 * (picture[..., 0] > 0)).tolist()
    regions = _read(folder / 'regions/a.png')
    assert regions.dtype == np.uint16
    assert regions.tolist() == (bead + 3 * rod).tolist()
    assert not _read(folder / 'regions/a_2.png').any()
    assert (folder / 'labels.csv').read_text() == 'image,region,fine_class\na,1,blue bead\na,3,rod\n'

    form, found = read_annotations(str(folder))
    assert (form, found.problems) == ('folders', [])
    written = write_dataset(found, tmp_path / 'written')
    assert written.taxonomy == gallery.model.taxonomy
    assert _read(tmp_path / 'written/masks/a.png').tolist() == (bead + 2 * rod + 255 * (picture[..., 0] > 0)).tolist()


def test_a_region_of_another_kind_gets_its_class(gallery, png, picture, tmp_path):
    gallery.add('a.png', png(picture))
    gallery.correct(1, 1, dict(fine_class='rod'))
    folder = _unpack(save('training', gallery.pictures, gallery.model.taxonomy), tmp_path)
    assert _read(folder / 'masks/a.png').tolist() == (2 * (picture.max(axis=2) > 0)).tolist()
    (content,) = json.loads(save('json', gallery.pictures, gallery.model.taxonomy).content)
    assert [(one['group'], one['fine_class'], one['predicted']) for one in content['regions']] == [
        ('rod', 'rod', 'red bead'),
        ('rod', 'rod', 'rod'),
    ]


def test_what_is_unknown_is_ignored(make_model, png, picture, tmp_path):
    groups = [
        dict(name='bead', members=['bead', 'hole'], fine_classes=['red bead', 'blue bead']),
        dict(name='rod', members=['rod'], fine_classes=['rod']),
    ]
    model = make_model(classes=['background', 'bead', 'rod', 'hole'], groups=groups)
    gallery = Gallery(model)
    gallery.add('a.png', png(picture))
    gallery.correct(1, 1, dict(dropped=True))
    gallery.correct(1, 2, dict(fine_class='red bead'))  # a bead or a hole
    folder = _unpack(save('training', gallery.pictures, model.taxonomy), tmp_path)
    assert _read(folder / 'masks/a.png').tolist() == (255 * (picture.max(axis=2) > 0)).tolist()


def test_coco_is_read_by_its_own_library(gallery, png, picture, tmp_path):
    picture[:] = 0
    picture[0:5, 0:5, 2] = 200
    picture[2, 2] = 0  # a hole
    gallery.add('a.png', png(picture))
    gallery.add('b.png', png(np.zeros((4, 4, 3), np.uint8)))
    gallery.correct(1, 1, dict(fine_class='blue bead'))
    folder = _unpack(save('coco', gallery.pictures, gallery.model.taxonomy), tmp_path)
    coco = COCO(str(folder / 'annotations/instances.json'))
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_array_equal(coco.annToMask(annotation), picture[..., 2] > 0)
    assert (annotation['bbox'], annotation['area'], annotation['iscrowd']) == ([0, 0, 5, 5], 24, 0)
    assert coco.loadCats(annotation['category_id']) == [dict(id=1, name='blue bead', supercategory='bead')]
    assert [image['file_name'] for image in coco.loadImgs(coco.getImgIds())] == ['a.png', 'b.png']
    form, found = read_annotations(str(folder))
    assert (form, found.problems, len(found.scenes)) == ('coco', [], 2)
    assert [(one.kind, one.name) for one in found.scenes[0].outlines] == [('bead', 'blue bead')]


@pytest.mark.parametrize('tool', ['labelme', 'cvat', 'yolo'])
def test_tools_get_holes(gallery, png, picture, tmp_path, tool):
    picture[:] = 0
    picture[1:6, 2:7, 2] = 200
    picture[3, 4] = 0
    gallery.add('Größe 1.png', png(picture))
    folder = _unpack(save(tool, gallery.pictures, gallery.model.taxonomy), tmp_path)
    form, found = read_annotations(str(folder))
    assert (form, found.problems) == (tool, [])
    (scene,) = found.scenes
    (outline,) = scene.outlines
    assert (outline.kind, outline.name) == ('bead', 'red bead')
    np.testing.assert_array_equal(outline.draw(6, 8), picture[..., 2] > 0)


def test_json_and_csv_have_the_regions(gallery, png, picture):
    gallery.add('=a.png', png(picture))
    gallery.correct(1, 1, dict(fine_class='blue bead'))
    (content,) = json.loads(save('json', gallery.pictures, gallery.model.taxonomy).content)
    assert (content['picture'], content['width'], content['height']) == ('=a.png', 8, 6)
    masks = [coco_mask.decode(region['mask']) for region in content['regions']]
    np.testing.assert_array_equal(masks[0], picture[..., 2] > 0)
    rows = list(csv.reader(io.StringIO(save('csv', gallery.pictures, gallery.model.taxonomy).content.decode())))
    assert rows == [
        ['picture', 'region', 'group', 'fine_class', 'fine_score', 'predicted', 'area', 'x1', 'y1', 'x2', 'y2'],
        ["'=a.png", '1', 'bead', 'blue bead', '0.75', 'red bead', '4', '1.0', '1.0', '3.0', '3.0'],
        ["'=a.png", '2', 'rod', 'rod', '1.0', 'rod', '3', '4.0', '4.0', '7.0', '5.0'],
    ]


def _gallery_of_names(make_model, content, names):
    """With one picture, 'a/b.png'; names by group, of beads first and then of rods."""
    members = zip(['bead', 'rod'], names.items())
    groups = [dict(name=name, members=[member], fine_classes=fine) for member, (name, fine) in members]
    gallery = Gallery(make_model(groups=groups))
    gallery.add('a/b.png', content)
    return gallery


def test_no_cell_is_a_formula(make_model, png, picture):
    gallery = _gallery_of_names(make_model, png(picture), {'+bead': ['=1+1', 'blue'], 'rod': ['\tx']})
    gallery.correct(1, 1, dict(fine_class='blue'))
    rows = list(csv.DictReader(io.StringIO(save('csv', gallery.pictures, gallery.model.taxonomy).content.decode())))
    assert [(row['picture'], row['group'], row['fine_class'], row['predicted']) for row in rows] == [
        ('a/b.png', "'+bead", 'blue', "'=1+1"),
        ('a/b.png', 'rod', "'\tx", "'\tx"),
    ]


def test_nothing_to_save_and_unknown_formats_are_errors(gallery, png, picture):
    with pytest.raises(DataError, match='there is no picture to save'):
        save('coco', gallery.pictures, gallery.model.taxonomy)
    gallery.add('a.png', png(picture))
    with pytest.raises(KeyError, match='it has training, coco, cvat, labelme, yolo, json, csv'):
        save('voc', gallery.pictures, gallery.model.taxonomy)


def test_names_that_tools_would_misread_are_refused(make_model, png, picture):
    gallery = _gallery_of_names(make_model, png(picture), dict(bead=['red: bright', 'blue bead'], rod=['rod']))
    with pytest.raises(DataError, match="'bead/red: bright' would be read as"):
        save('coco', gallery.pictures, gallery.model.taxonomy)
    assert save('training', gallery.pictures, gallery.model.taxonomy)
