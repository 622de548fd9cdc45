"""Whatever is in a table, a journal, an annotation file or a taxonomy: a result that holds, or our own error.

``DEEPUNETTO_FUZZ=1500 python -m pytest tests/test_unsafe_*.py -s`` tries 1500 inputs of each kind.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import runpy
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from pycocotools import mask as coco_mask

from deepunetto_mm.datasets import CocoFineDataset, DataError
from deepunetto_mm.datasets.label_table import read_label_table
from deepunetto_mm.models.fine.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.threshold_masks.converter import JOURNAL, Converter
from deepunetto_mm.threshold_masks.labelled_pictures import LabelledPicture, read_classes
from deepunetto_mm.threshold_masks.thresholding import ThresholdOptions

ROOT = Path(__file__).resolve().parents[1]
FUZZING = runpy.run_path(str(ROOT / 'tests/data/fuzzing.py'))
COCO = runpy.run_path(str(ROOT / 'tests/data/coco_tree.py'))
DAMAGES, TREE_DAMAGES, damaged, damaged_tree, fuzz = (
    FUZZING[name] for name in ('DAMAGES', 'TREE_DAMAGES', 'damaged', 'damaged_tree', 'fuzz')
)

TAXONOMY = dict(
    classes=['background', 'cytoplasm', 'nucleus', 'vessel'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['neutrophil', 'lymphocyte']),
        dict(name='tube', members=['vessel'], fine_classes=['artery', 'vein']),
    ],
    ignore_index=255,
)
# Of the content, then of the bytes that it is written as.
_tree_damages, _damages = st.lists(TREE_DAMAGES, max_size=3), st.one_of(st.just([]), st.lists(DAMAGES, max_size=2))


def as_json(tree, damages):
    return damaged(json.dumps(tree).encode(), damages)


def as_csv(rows, damages):
    text = io.StringIO()
    for row in rows if isinstance(rows, list) else [rows]:
        csv.writer(text).writerow([str(cell) for cell in (row if isinstance(row, list) else [row])])
    return damaged(text.getvalue().encode('utf-8', 'surrogatepass'), damages)


def rows_of(file):
    """The rows as the standard library reads them."""
    rows = csv.DictReader(io.StringIO(file.read_bytes().decode('utf-8-sig'), newline=''), restkey='rest')
    stripped = [{key.strip(): (cell or '').strip() for key, cell in row.items() if key != 'rest'} for row in rows]
    return [row for row in stripped if any(row.values())]


# ------------------------------------------------------------------------------------------------------------- tables
LABELS = [
    ['image', 'fine_class', 'region', 'split'],
    ['a', 'neutrophil', '7', 'train'],
    ['a', 'vein', '300', 'train'],
    ['b, the second', '', '1', 'train'],
    ['sub/c', 'lymphocyte', '', 'train'],
    ['d', 'artery', '65535', 'val'],
]


def test_label_tables(tmp_path):
    file, taxonomy = tmp_path / 'labels.csv', Taxonomy.from_dict(TAXONOMY)

    def check(value):
        columns, split, tree_damages, damages = value
        rows = [row[:columns] for row in LABELS if columns > 2 or row[2] != '300']  # a row an image, without regions
        file.write_bytes(as_csv(damaged_tree(rows, tree_damages), damages))
        try:
            table = read_label_table(str(file), taxonomy, split)
        except DataError as error:
            named = str(file) in str(error)
            assert named
            assert tree_damages or damages or (columns == 4) != (split is not None), 'refused, though it is whole'
            raise
        expected = {
            (row['image'], int(row['region']) if row.get('region') else None): row['fine_class'] or None
            for row in rows_of(file)
            if split is None or row['split'] == split
        }
        found = {}
        for image, entry in table.items():
            names = entry.names if isinstance(entry.names, dict) else {None: entry.names}
            found.update({(image, region): name for region, name in names.items()})
        assert found == {key: name for key, name in expected.items() if key[1] is None or name}
        assert set(table) == {image for image, _ in expected}
        assert set(found.values()) <= {*taxonomy.fine_classes, None}
        return 'taken'

    fuzz(
        'label tables',
        st.tuples(st.integers(2, 4), st.sampled_from([None, 'train']), _tree_damages, _damages),
        check,
        tmp_path,
    )


CLASSES = [
    ['fine', 'coarse', 'fine_id', 'coarse_id'],
    ['gala', 'apple', '3', '1'],
    ['fuji', 'apple', '1', '1'],
    ['lime, green', 'citrus', '0', '0'],
]


def test_class_tables(tmp_path):
    file = tmp_path / 'classes.csv'

    def check(value):
        columns, tree_damages, damages = value
        file.write_bytes(as_csv(damaged_tree([row[:columns] for row in CLASSES], tree_damages), damages))
        try:
            taxonomy, by_id = read_classes(str(file))
        except DataError as error:
            named = str(file) in str(error)
            assert named
            assert tree_damages or damages, 'refused, though it is whole'
            raise
        rows = rows_of(file)
        assert Counter(taxonomy.fine_classes) == Counter(row['fine'] for row in rows)
        for row in rows:
            group = taxonomy.groups[taxonomy.group_of_fine[taxonomy.fine_index(row['fine'])]]
            assert group.name == row['coarse']
            assert by_id.get(row.get('fine_id')) == (row['fine'] if 'fine_id' in row else None)
        return 'taken'

    fuzz('class tables', st.tuples(st.sampled_from([2, 3, 4]), _tree_damages, _damages), check, tmp_path)


# ----------------------------------------------------------------------------------------------------------- journals
def test_journals(tmp_path):
    picture = tmp_path / 'in/a.png'
    picture.parent.mkdir()
    assert cv2.imwrite(str(picture), np.pad(np.full((6, 6, 3), 200, np.uint8), ((4, 4), (4, 4), (0, 0))))
    source = [LabelledPicture('a', picture, 'gala')]
    taxonomy = Taxonomy.from_dict(
        dict(classes=['background', 'apple'], groups=[dict(name='apple', members=['apple'], fine_classes=['gala'])])
    )
    args = argparse.Namespace(min_quality=0, copy=True, skip_errors=False)

    def run(out):
        return Converter(out, ThresholdOptions(), taxonomy, args).run(source, 1)

    out = tmp_path / 'out'
    records = run(out)
    journal, mask = out / JOURNAL, (out / 'masks/a.png').read_bytes()
    where = {key: records[0][key] for key in ('place', 'suffix', 'split', 'image', 'fine_class')}
    former = [*records, dict(records[0], place='former'), dict(records[0], place='sub/former', split='val')]
    mine = [out / 'a.png', tmp_path / 'a.png']
    places = ['former', '../a', '../../a', str(tmp_path / 'a'), 'sub/../../../a', '\0', '\ud800', 'x' * 5000]

    def check(value):
        place, tree_damages, damages = value
        lines = damaged_tree([former[0], dict(former[1], place=place), former[2]], tree_damages)
        journal.write_bytes(
            b'\n'.join(as_json(line, damages) for line in (lines if isinstance(lines, list) else [lines]))
        )
        for file in mine:
            file.write_bytes(b'mine')
        (found,) = run(out)
        assert {key: found[key] for key in where} == where
        assert found['status'] in ('kept', 'dropped')  # it may say that the picture was good, or bad
        assert found['status'] == 'dropped' or (out / 'masks/a.png').read_bytes() == mask
        assert all(file.read_bytes() == b'mine' for file in mine)
        return 'gone on'

    fuzz('journals', st.tuples(st.sampled_from(places), _tree_damages, _damages), check, tmp_path)


# --------------------------------------------------------------------------------------------------------- taxonomies
def test_taxonomies(tmp_path):
    def check(damages):
        tree = damaged_tree(TAXONOMY, damages)
        taxonomy = Taxonomy.from_dict(tree)
        again = Taxonomy.from_dict(json.loads(json.dumps(taxonomy.to_dict())))
        assert again == taxonomy
        assert list(taxonomy.classes) == tree['classes']
        assert [group.name for group in taxonomy.groups] == [group['name'] for group in tree.get('groups', [])]
        assert [list(group.fine_classes) for group in taxonomy.groups] == [
            group['fine_classes'] for group in tree.get('groups', [])
        ]
        assert taxonomy.ignore_index == tree.get('ignore_index', 255)
        for names in (taxonomy.classes, taxonomy.fine_classes, taxonomy.composed_classes):
            assert len(set(names)) == len(names)
        TaxonomyStamp(taxonomy).load_state_dict(TaxonomyStamp(again).state_dict())
        return 'taken'

    fuzz('taxonomies', _tree_damages, check, tmp_path)


def test_taxonomies_of_checkpoints(tmp_path):
    taxonomy = Taxonomy.from_dict(TAXONOMY)
    code = bytes(TaxonomyStamp(taxonomy).code.tolist())

    def check(value):
        tree_damages, damages, numbers = value
        content = as_json(damaged_tree(json.loads(code), tree_damages), damages)
        stamp = TaxonomyStamp(taxonomy)
        stamp.load_state_dict(dict(code=torch.tensor([*content, *numbers], dtype=torch.int64)))
        assert {**json.loads(content)} == TAXONOMY
        assert not numbers
        return 'taken'

    numbers = st.one_of(st.just([]), st.lists(st.sampled_from([-1, 256, 2**40]), max_size=2))
    fuzz('taxonomies of checkpoints', st.tuples(_tree_damages, _damages, numbers), check, tmp_path)


# -------------------------------------------------------------------------------------------------- annotations of COCO
SEGMENTS = np.zeros((6, 8), np.int64)
SEGMENTS[:3, :4], SEGMENTS[4:, 2:], SEGMENTS[0, 7] = 11, 70_000, 3
PANOPTIC = [
    dict(
        image_id=image['id'],
        file_name=f'{image["id"]}.png',
        segments_info=[
            dict(id=11, category_id=7, iscrowd=0),
            dict(id=70_000, category_id=40, iscrowd=0),
            dict(id=3, category_id=3, iscrowd=1),
        ],
    )
    for image in COCO['IMAGES']
]


@pytest.mark.parametrize('kind', ['instances', 'panoptic'])
def test_annotations_of_coco(tmp_path, kind):
    init_default_scope('mmseg')
    COCO['write_pictures'](tmp_path)
    (tmp_path / 'maps').mkdir()
    for image in COCO['IMAGES']:
        colours = np.stack([SEGMENTS // 65_536, SEGMENTS // 256 % 256, SEGMENTS % 256], -1).astype(np.uint8)
        assert cv2.imwrite(str(tmp_path / f'maps/{image["id"]}.png'), colours)
    file, panoptic = tmp_path / 'a.json', kind == 'panoptic'
    whole = dict(
        images=COCO['IMAGES'],
        categories=COCO['CATEGORIES'],
        annotations=PANOPTIC if panoptic else COCO['ANNOTATIONS'],
    )
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='deepunetto_mm.LoadCocoAnnotations'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]

    def check(value):
        tree_damages, damages = value
        file.write_bytes(as_json(damaged_tree(whole, tree_damages), damages))
        try:
            dataset = CocoFineDataset(
                str(file),
                dict(
                    img_path=str(tmp_path / 'images'), **(dict(seg_map_path=str(tmp_path / 'maps')) if panoptic else {})
                ),
                pipeline=pipeline,
                serialize_data=False,
            )
            samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
        except DataError as error:
            message = str(error)
            assert str(tmp_path) in message
            assert tree_damages or damages, 'refused, though it is whole'
            raise
        content = json.loads(file.read_bytes())
        assert len(samples) == len(content['images'])
        taxonomy = dataset.taxonomy
        for image, sample in zip(content['images'], samples):
            mask, region_map = sample.gt_sem_seg.data[0].numpy(), sample.gt_region_map.data[0].numpy()
            assert mask.shape == (image['height'], image['width'])
            assert np.isin(mask, [*range(len(taxonomy.classes)), 255]).all()
            assert set(np.unique(region_map)) - {0} == set(sample.gt_regions.ids.tolist())
            if not panoptic and 'annotations' in content:
                covered = np.zeros(mask.shape, bool)
                for item in content['annotations']:
                    if item['image_id'] == image['id']:
                        covered |= as_pycocotools_reads(item['segmentation'], *mask.shape)
                assert not mask[~covered].any()
        return 'taken'

    fuzz(f'{kind} of COCO', st.tuples(_tree_damages, _damages), check, tmp_path)


def as_pycocotools_reads(segmentation, height, width):
    """Of what has been accepted, so that pycocotools reads what is there."""
    if isinstance(segmentation, list):
        code = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        code = coco_mask.frPyObjects(segmentation, height, width)
    else:
        code = segmentation
    return coco_mask.decode(code) > 0
