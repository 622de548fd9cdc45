"""What is written for annotation tools is read back as it was: the same masks, pixel by pixel, and the same names."""

import base64
import json
import os
import subprocess
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from deepunetto_mm.annotations import TOOLS, export_dataset, read_annotations, write_dataset
from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.annotations.polygons import bridged_polygon
from deepunetto_mm.utils.errors import DataError, UsageError

# A ring, an object in its hole that touches it, one cut off by the border, one of two parts, one that touches these,
# and one without a name.
REGIONS = np.zeros((30, 40), np.uint16)
REGIONS[5:15, 4:14] = 1
REGIONS[8:12, 7:11] = 0
REGIONS[9:11, 8:11] = 2
REGIONS[0:4, 36:40] = 3
REGIONS[18:24, 20:26] = REGIONS[24:28, 26:31] = 4  # that share a corner
REGIONS[18:24, 26:30] = 5
REGIONS[20:28, 2:9] = 6
NAMES = {1: 'round', 2: 'öval (flat)', 3: 'artery', 4: 'round', 5: 'vein'}
GROUPS = [
    dict(name='cell', members=['cell'], fine_classes=['round', 'öval (flat)']),
    dict(name='tube', members=['wall', 'inside'], fine_classes=['artery', 'vein']),
    dict(name='dust', members=['dust'], fine_classes=['dust']),
]
CLASSES = ['background', 'cell', 'wall', 'inside', 'dust']
CLASS_OF_REGION = np.array([0, 1, 1, 2, 1, 3, 1, 4])


def _write_maps(annotated, root, picture):
    """Two pictures in different splits, with the same name; the second one has an object of dust instead of a ring."""
    for split, regions in (('train', REGIONS), ('val', np.where(REGIONS == 1, 7, REGIONS))):
        annotated.write_picture(root / f'images/{split}/{picture}.png', seed=len(split))
        mask = CLASS_OF_REGION[regions].astype(np.uint8)
        mask[16:18, 33:38] = 255
        annotated.write_map(root / f'masks/{split}/{picture}.png', mask)
        annotated.write_map(root / f'regions/{split}/{picture}.png', regions.astype(np.uint16))
    rows = [f'{split},{picture},{id_},{name}' for split in ('train', 'val') for id_, name in NAMES.items()]
    rows = [row for row in rows if row != f'val,{picture},1,round']
    (root / 'labels.csv').write_text('\n'.join(['split,image,region,fine_class', *rows, f'val,{picture},7,dust']))
    (root / 'classes.json').write_text(json.dumps(dict(classes=CLASSES, groups=GROUPS)))


def _objects(dataset):
    """By picture, the pixels of each object and its kind and name."""
    found = {}
    table = [line.split(',') for line in (dataset.root / 'labels.csv').read_text().splitlines()[1:]]
    for path in sorted((dataset.root / 'regions').rglob('*.png')):
        place = path.relative_to(dataset.root / 'regions').with_suffix('').as_posix()
        regions, mask = read_map(path), read_map(dataset.root / 'masks' / f'{place}.png')
        names = {int(region): name for picture, region, name in table if picture == place}
        found[place] = {
            (regions == id_).tobytes(): (
                dataset.taxonomy.groups[dataset.taxonomy.group_of_class[int(mask[regions == id_][0])]].name,
                names.get(id_, ''),
            )
            for id_ in np.unique(regions[regions > 0]).tolist()
        }
        found[place][(mask == 255).tobytes()] = 'ignored'
    return found


@pytest.fixture
def dataset(annotated, tmp_path):
    def dataset(picture='a b/ü'):
        _write_maps(annotated, tmp_path / 'in', picture)
        return write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'maps')

    return dataset


@pytest.mark.parametrize('tool', list(TOOLS))
def test_masks_and_names_come_back(dataset, tmp_path, tool):
    written = dataset()
    expected = _objects(written)
    assert sorted(map(len, expected.values())) == [7, 7]
    assert export_dataset(written, tool, tmp_path / 'out') == 14
    form, found = read_annotations(str(tmp_path / 'out'))
    assert (form, found.problems) == (tool, [])
    again = write_dataset(found, tmp_path / 'again')
    got = _objects(again)
    assert list(got) == ['train/a b/ü', 'val/a b/ü']
    for place, objects in expected.items():
        if tool == 'yolo':  # which has no ignored areas
            objects = {mask: name for mask, name in objects.items() if name != 'ignored'}
            del got[place][next(mask for mask, name in got[place].items() if name == 'ignored')]
        assert got[place] == objects, place
    for path in (tmp_path / 'out').rglob('*.png'):
        assert not path.is_symlink()  # which datumaro, and so CVAT, would refuse
        assert path.read_bytes() == (tmp_path / f'in/images/{path.parents[1].name}/a b/ü.png').read_bytes()


def test_coco_by_its_own_reader(dataset, tmp_path):
    export_dataset(dataset(), 'coco', tmp_path / 'out')
    coco = COCO(str(tmp_path / 'out/annotations/instances_train.json'))
    assert [image['file_name'] for image in coco.loadImgs(coco.getImgIds())] == ['a b/ü.png']
    kinds = {item['name']: item.get('supercategory') for item in coco.loadCats(coco.getCatIds())}
    assert kinds == {
        'round': 'cell', 'öval (flat)': 'cell', 'artery': 'tube', 'vein': 'tube', 'dust/dust': None, 'cell': None,
        'ignore': None,
    }  # fmt: skip
    for item in coco.loadAnns(coco.getAnnIds()):
        if not item['iscrowd']:
            mask = coco.annToMask(item) > 0
            id_ = int(REGIONS[mask][0])
            np.testing.assert_array_equal(mask, id_ == REGIONS)
            assert coco.cats[item['category_id']]['name'] == NAMES.get(id_, 'cell')
            assert item['area'] == mask.sum()


# Datumaro needs other versions of our dependencies: DATUMARO_PYTHON is the Python of an environment of its own.
DATUMARO = """
import json, sys
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

dataset = Dataset.import_from(sys.argv[1], sys.argv[2])
labels = dataset.categories()[AnnotationType.label]
for item in dataset:
    for annotation in item.annotations:
        if annotation.type == AnnotationType.mask:
            mask = annotation.image.astype("uint8").tobytes().hex()
            print("MASK", json.dumps([labels[annotation.label].name, mask]))
"""


@pytest.mark.parametrize('tool', ['coco', 'cvat'])
def test_datumaro_reads_the_same(dataset, tmp_path, tool):
    python = os.environ.get('DATUMARO_PYTHON')
    if not python:
        pytest.skip('DATUMARO_PYTHON names no Python with datumaro 1.13')
    export_dataset(dataset('a'), tool, tmp_path / 'out')
    command = [python, '-c', DATUMARO, str(tmp_path / 'out'), tool]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    read = sorted(json.loads(line[5:]) for line in printed.splitlines() if line.startswith('MASK '))
    kinds = {1: 'cell', 2: 'cell', 3: 'tube', 4: 'cell', 5: 'tube'}
    labels = {id_: name if tool == 'coco' else f'{kinds[id_]}/{name}' for id_, name in NAMES.items()}
    labels.update({6: 'cell', 7: 'dust/dust'})
    ignored = np.zeros_like(REGIONS, bool)
    ignored[16:18, 33:38] = True
    expected = []
    for regions in (REGIONS, np.where(REGIONS == 1, 7, REGIONS)):
        masks = [(labels[id_], regions == id_) for id_ in np.unique(regions[regions > 0]).tolist()]
        expected += [[label, mask.astype(np.uint8).tobytes().hex()] for label, mask in [*masks, ('ignore', ignored)]]
    assert read == sorted(expected)


def test_labelme_pastes_the_mask_between_two_corners(dataset, tmp_path):
    """As its documents say: both corners belong to the mask."""
    export_dataset(dataset('a'), 'labelme', tmp_path / 'out')
    content = json.loads((tmp_path / 'out/train/a.json').read_text())
    assert (content['imagePath'], content['imageHeight'], content['imageWidth']) == ('a.png', 30, 40)
    whole = np.zeros((30, 40), int)
    for number, shape in enumerate(content['shapes'][:-1], start=1):
        (left, top), (right, bottom) = shape['points']
        mask = cv2.imdecode(np.frombuffer(base64.b64decode(shape['mask']), np.uint8), cv2.IMREAD_UNCHANGED)
        whole[top : bottom + 1, left : right + 1][mask > 0] = number
    np.testing.assert_array_equal(whole, REGIONS)
    assert [shape['label'] for shape in content['shapes']] == [
        'cell/round', 'cell/öval (flat)', 'tube/artery', 'cell/round', 'tube/vein', 'cell', 'ignore',
    ]  # fmt: skip


def test_cvat_counts_along_the_rows(annotated, tmp_path):
    """Runs by hand: 2x3 pixels, of which the first row has the last two, and the second row the first one."""
    mask = np.zeros((30, 40), np.uint8)
    mask[3, 6:8] = mask[4, 5] = 1
    annotated.write_picture(tmp_path / 'in/images/a.png')
    annotated.write_map(tmp_path / 'in/masks/a.png', mask)
    written = write_dataset(read_annotations(str(tmp_path / 'in'))[1], tmp_path / 'maps', classes=['none', 'cell'])
    export_dataset(written, 'cvat', tmp_path / 'out')
    (image,) = ElementTree.parse(tmp_path / 'out/annotations.xml').getroot().iter('image')
    (shape,) = image
    assert image.attrib == dict(id='0', name='a.png', width='40', height='30')
    expected = dict(label='cell', rle='1, 3, 2', left='5', top='3', width='3', height='2')
    assert {key: shape.get(key) for key in expected} == expected


@pytest.mark.parametrize('id_', [1, 2, 3, 4, 6])
def test_opencv_fills_the_same(id_):
    """By whole coordinates, as YOLO's own reader: the bridges run over pixels of these objects."""
    filled = np.zeros((30, 40), np.uint8)
    cv2.fillPoly(filled, [bridged_polygon(id_ == REGIONS).astype(np.int32)], 1)
    np.testing.assert_array_equal(filled, id_ == REGIONS)


def test_what_cannot_be_written(annotated, dataset, tmp_path):
    written = dataset('a')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/a.txt').touch()
    with pytest.raises(UsageError, match='full is not empty'):
        export_dataset(written, 'coco', tmp_path / 'full')
    for name in 'ab':
        annotated.write_labelme(tmp_path / f'slash/{name}.json', [annotated.shape('x', annotated.box(2, 2, 9, 9))])
    found = read_annotations(str(tmp_path / 'slash'))[1]
    written = write_dataset(found, tmp_path / 'maps2', renamed={'x': 'a:b'})
    with pytest.raises(DataError, match="'a:b' would be read as"):
        export_dataset(written, 'yolo', tmp_path / 'out')


def test_a_name_that_cannot_be_written_is_found_before_anything_is(annotated, folders, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/labels.csv').write_text('image,fine_class\na,x:y\nb,z\n')
    ring = annotated.RING.astype(np.uint8)
    with pytest.raises(DataError, match="'object/x:y' would be read as"):
        export_dataset(folders(dict(a=ring, b=ring)), 'coco', tmp_path / 'exported')
    assert not (tmp_path / 'exported').exists()


def test_a_name_that_only_coco_cannot_have_is_found_before_anything_is_written(annotated, labelme, tmp_path):
    shapes = [
        annotated.shape(label, annotated.box(12 * x, 2, 9, 9))
        for x, label in enumerate(('cell/dust', 'dust/fine', 'dust'))
    ]
    written = labelme({'a': shapes})
    with pytest.raises(DataError, match="'dust' is a kind and a name of another kind, which COCO cannot have; rename"):
        export_dataset(written, 'coco', tmp_path / 'exported')
    assert not (tmp_path / 'exported').exists()
    assert export_dataset(written, 'cvat', tmp_path / 'exported') == 3
