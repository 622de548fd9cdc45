import io
import re
import shutil
import unicodedata

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import ClassBalancedDataset
from mmseg.datasets import BaseSegDataset

from deepunetto_mm.datasets import CoarseFineDataset, DataError
from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import Taxonomy, TaxonomyError

NFC = unicodedata.normalize('NFC', 'Zürich')
NFD = unicodedata.normalize('NFD', NFC)


def _regions(dataset, index):
    regions = dataset[index]['data_samples'].gt_regions
    return regions.labels.tolist(), regions.fine_labels.tolist(), regions.bboxes.tolist()


def test_regions_are_the_components_of_the_mask(tiny):
    dataset = tiny.build()
    assert len(dataset) == 2
    # The vessel of 8 pixels is larger than the cell of 6, so it comes first. A fine class goes to the group it is of.
    vessel, cell = [0.0, 5.0, 8.0, 6.0], [1.0, 1.0, 3.0, 4.0]
    assert _regions(dataset, 0) == ([1, 0], [-1, 0], [vessel, cell])
    assert _regions(dataset, 1) == ([1, 0], [3, -1], [vessel, cell])
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.data[0].tolist() == tiny.mask.tolist()
    assert sample.gt_region_map.data[0].tolist() == np.array([0, 2, 2, 1])[tiny.mask].tolist()


def test_regions_come_from_a_region_map(tiny):
    """Two cells in touch, one of them of id 255, which mmseg pads with."""
    regions = np.zeros((6, 8), np.uint16)
    regions[1:4, 1], regions[1:4, 2], regions[5] = 255, 40000, 9
    for name in 'ab':
        tiny.write(f'regions/{name}.png', regions)
    tiny.table('image,region,fine_class\na,255,lymphocyte\na,40000,neutrophil\na,9,\n')
    dataset = tiny.build(regions=True)
    boxes = [[0.0, 5.0, 8.0, 6.0], [1.0, 1.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]
    assert _regions(dataset, 0) == ([1, 0, 0], [-1, 1, 0], boxes)
    assert _regions(dataset, 1) == ([1, 0, 0], [-1, -1, -1], boxes)


def test_names_are_paths_without_suffix(tiny):
    for folder, value in (('images', np.zeros((6, 8, 3), np.uint8)), ('masks', tiny.mask)):
        tiny.write(f'{folder}/deep/c.x.png', value)
    tiny.table('image,fine_class\ndeep/c.x,artery\n')
    dataset = tiny.build()
    assert [info['region_names'] for info in (dataset.get_data_info(i) for i in range(3))] == [None, None, 'artery']


def test_ann_file_lists_the_pictures(tiny):
    (tiny.root / 'list.txt').write_text('b\n')
    dataset = tiny.build(ann_file='list.txt')
    assert [dataset.get_data_info(0)['img_path']] == [str(tiny.root / 'images/b.png')]
    (tiny.root / 'list.txt').write_bytes(b'\xef\xbb\xbfb\r\n\na \n\n')  # as editors on Windows write it
    dataset = tiny.build(ann_file='list.txt')
    assert [dataset.get_data_info(i)['img_path'][-5:] for i in (0, 1)] == ['b.png', 'a.png']
    (tiny.root / 'list.txt').write_text('\nb\n\nd\n')
    with pytest.raises(DataError, match=r"list.txt, line 4: no picture 'd.png' in .*images"):
        tiny.build(ann_file='list.txt')
    (tiny.root / 'list.txt').write_text('')
    with pytest.raises(DataError, match='list.txt: lists no picture'):
        tiny.build(ann_file='list.txt')
    with pytest.raises(DataError, match='no.txt: no such file; ann_file lists'):
        tiny.build(ann_file='no.txt')


def test_reduce_zero_label(tiny):
    """Value 0 is ignored, value i + 1 is class i: here 1, 2, 3 become background, cytoplasm, nucleus."""
    sample = tiny.build(reduce_zero_label=True, fine_label_file=None)[0]['data_samples']
    assert sample.gt_sem_seg.data[0].tolist() == np.array([255, 0, 1, 2])[tiny.mask].tolist()
    assert sample.gt_regions.bboxes.tolist() == [[0.0, 5.0, 8.0, 6.0], [1.0, 2.0, 2.0, 3.0]]


def test_a_picture_named_as_a_whole_has_a_label(tiny):
    tiny.table('image,fine_class\na,vein\nb,\n')
    pictures = dict(masks=False, mask_files=False)
    ours = tiny.build(
        **pictures, pipeline=[dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
    )
    theirs = tiny.build(**pictures, pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')])
    for dataset in (ours, theirs):
        named, unnamed = (dataset[index]['data_samples'] for index in range(2))
        assert (named.gt_label.tolist(), named.gt_label.dtype) == ([3], torch.int64)
        assert 'gt_label' not in unnamed
    # The names of regions are none of the picture.
    tiny.write('regions/a.png', np.ones((6, 8), np.uint8))
    tiny.write('regions/b.png', np.ones((6, 8), np.uint8))
    tiny.table('image,region,fine_class\na,1,neutrophil\n')
    assert 'gt_label' not in tiny.build(regions=True).get_data_info(0)


def test_metainfo_is_plain_and_survives_a_checkpoint(tiny):
    plain = tiny.build().metainfo
    assert plain['classes'] == ('background', 'cytoplasm', 'nucleus', 'vessel')
    assert plain['palette'] == tiny.build().metainfo['palette']
    assert len(plain['palette']) == 4
    assert [sum(colour) > 0 for colour in plain['palette']] == [False, True, True, True]  # no tint behind the objects
    # As a config brings it, through the registry.
    config = ConfigDict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=str(tiny.root),
        data_prefix=dict(img_path='images', seg_map_path='masks', region_map_path=None),
        img_suffix='.png',
        metainfo=dict(taxonomy=plain['taxonomy'], palette=[[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]),
    )
    meta = DATASETS.build(config).metainfo
    assert type(meta['taxonomy']) is dict
    assert meta['palette'][3] == [3, 3, 3]
    buffer = io.BytesIO()
    torch.save(dict(meta=dict(dataset_meta=meta)), buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=True)['meta']['dataset_meta']
    assert Taxonomy.from_dict(loaded['taxonomy']) == tiny.build().taxonomy


def test_metainfo_errors(tiny):
    taxonomy = tiny.build().metainfo['taxonomy']
    for meta in (None, dict(classes=['a', 'b'])):
        with pytest.raises(TaxonomyError, match="metainfo has no 'taxonomy'; set"):
            tiny.build(metainfo=meta)
    with pytest.raises(TaxonomyError, match="leave metainfo\\['classes'\\] out"):
        tiny.build(metainfo=dict(taxonomy=taxonomy, classes=['background', 'cell']))
    tiny.build(metainfo=dict(taxonomy=taxonomy, classes=taxonomy['classes']))


@pytest.mark.parametrize(
    ('prefix', 'message'),
    [
        (dict(seg_map_path='masks'), "data_prefix has the keys ['seg_map_path']; allowed are"),
        (dict(img_path='images', mask_path='masks'), "data_prefix has the keys ['img_path', 'mask_path']"),
        (dict(img_path='images'), "data_prefix has no 'seg_map_path', the folder of masks"),
        (
            dict(img_path='image', seg_map_path='masks'),
            "image: no such folder; fix data_root or data_prefix['img_path']",
        ),
        (
            dict(img_path='images', seg_map_path='mask'),
            "mask: no such folder; fix data_root or data_prefix['seg_map_pa",
        ),
    ],
)
def test_folder_errors(tiny, prefix, message):
    with pytest.raises(DataError, match=re.escape(message)):
        tiny.build(data_prefix=prefix)


def test_folder_without_pictures(tiny):
    message = r"images: none of its 2 files ends in '.jpg', they end in \['.png'\]; fix the suffix"
    with pytest.raises(DataError, match=message):
        tiny.build(img_suffix='.jpg')
    (tiny.root / 'empty').mkdir()
    with pytest.raises(DataError, match=r"empty: none of its 0 files ends in '.png'$"):
        tiny.build(data_prefix=dict(img_path='empty', seg_map_path='masks'))


def test_picture_without_mask_or_region_map(tiny):
    (tiny.root / 'masks/b.png').unlink()
    with pytest.raises(DataError, match=r"masks/b.png: no such file, the mask of picture 'b.png' \(1 of 2 pictures"):
        tiny.build()
    tiny.write('masks/b.png', tiny.mask)
    tiny.write('regions/b.png', tiny.mask)
    with pytest.raises(DataError, match=r"regions/a.png: no such file, the region map of picture 'a.png'"):
        tiny.build(regions=True)


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (
            'aa,neutrophil',
            r"labels.csv, line 2: no picture 'aa.png' in .*images \(there is 'a'\); fix or remove the row",
        ),
        ('a,monocyte', r"labels.csv, line 2: 'monocyte' is not a fine class of the taxonomy, which has \['neutrophil'"),
    ],
)
def test_table_errors(tiny, row, message):
    tiny.table(f'image,fine_class\n{row}\n')
    with pytest.raises(DataError, match=message):
        tiny.build()


@pytest.mark.parametrize('path', ['images/b.png', 'masks/b.png'])
def test_truncated_file_is_named(tiny, path):
    dataset = tiny.build()
    file = tiny.root / path
    file.write_bytes(file.read_bytes()[:-20])
    dataset[0]
    with pytest.raises(DataError, match=f'{path}: the file is truncated'):
        dataset[1]


def test_a_file_that_cannot_be_decoded_is_named_alone(tiny):
    dataset = tiny.build()
    picture, mask = tiny.root / 'images/b.png', tiny.root / 'masks/b.png'
    whole = picture.read_bytes()
    picture.write_bytes(b'not a picture at all')
    with pytest.raises(DataError, match=r'images/b.png: not a picture, or a damaged one; copy it again'):
        dataset[1]
    picture.write_bytes(whole)
    content = mask.read_bytes()
    mask.write_bytes(content[:45] + bytes([content[45] ^ 255]) + content[46:])  # within the compressed pixels
    with pytest.raises(DataError, match=r'masks/b.png: cannot be decoded \(\w+Error: .*\); copy it again') as caught:
        dataset[1]
    assert 'images/b.png' not in str(caught.value)


def test_whatever_else_fails_in_the_pipeline_names_the_files(tiny):
    dataset = tiny.build(pipeline=[dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.LoadRegions')])
    with pytest.raises(RuntimeError, match=r'failed on .*images/b.png with .*masks/b.png: ValueError: LoadRegions'):
        dataset[1]


def test_a_list_of_pictures_that_is_no_text(tiny):
    (tiny.root / 'train.txt').write_bytes(b'a\n\xff\n')
    with pytest.raises(DataError, match=r'train.txt: not a UTF-8 text \(.*\); save it in UTF-8'):
        tiny.build(ann_file='train.txt')


def test_a_split_without_a_table_is_refused(tiny):
    with pytest.raises(DataError, match="split='val' selects rows of a table, .*; leave out split, or name the table"):
        tiny.build(fine_label_file=None, split='val')


def test_reads_the_white_blood_cells(real_data, mmseg_scope):
    group = dict(
        name='cell',
        members=['cytoplasm', 'nucleus'],
        fine_classes=['neutrophil', 'lymphocyte', 'monocyte', 'eosinophil', 'basophil'],
    )
    taxonomy = dict(classes=['background', 'cytoplasm', 'nucleus'], groups=[group])
    counts = {}
    for split in ('train', 'val'):
        dataset = CoarseFineDataset(
            data_root=str(real_data / 'wbc1'),
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}'),
            img_suffix='.png',
            split=split,
            metainfo=dict(taxonomy=taxonomy),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='deepunetto_mm.LoadRegions', min_area=50),
                dict(type='deepunetto_mm.PackRegionInputs'),
            ],
        )
        names = [dataset.get_data_info(index)['region_names'] for index in range(len(dataset))]
        counts[split] = len(names), names.count('basophil'), names.count(None)
        sample = dataset[0]['data_samples']
        assert sample.gt_regions.fine_labels.tolist() == [dataset.taxonomy.fine_index(names[0])]
        assert ((sample.gt_region_map.data == 1) <= (sample.gt_sem_seg.data > 0)).all()
    assert counts == {'train': (184, 1, 0), 'val': (58, 0, 0)}


def test_survey_tells_all_that_is_wrong_and_keeps_the_rest(tiny):
    """Building raises at the first of it."""
    for name in 'cd':
        tiny.write(f'images/{name}.png', np.zeros((6, 8, 3), np.uint8))
    (tiny.root / 'list.txt').write_text('a\nc\nx\nd\n')
    tiny.table('image,fine_class\na,neutrophil\ny,vein\n')
    with pytest.raises(DataError, match=r"list\.txt, line 3: no picture 'x\.png'"):
        tiny.build(ann_file='list.txt')
    dataset = tiny.build(ann_file='list.txt', lazy_init=True)
    problems = dataset.survey()
    assert [(error.kind, str(error).partition(':')[0]) for error in problems] == [
        ('missing file', f'{tiny.root}/list.txt, line 3'),
        ('missing file', f'{tiny.root}/masks/c.png'),
        ('missing file', f'{tiny.root}/masks/d.png'),
        ('fine label', f'{tiny.root}/labels.csv, line 3'),
    ]
    assert [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))] == [f'{tiny.root}/images/a.png']
    assert dataset.get_data_info(0)['region_names'] == 'neutrophil'


@pytest.mark.parametrize('picture', [NFC, NFD])
def test_names_in_two_forms_of_unicode_are_one(tiny, picture):
    """Each of picture, mask, region map, table and list has the other form than the one before."""
    other = NFD if picture == NFC else NFC
    tiny.write(f'images/{picture}.png', np.zeros((6, 8, 3), np.uint8))
    mask = tiny.write(f'masks/{other}.png', tiny.mask)
    regions = [tiny.write(f'regions/{name}.png', tiny.mask) for name in (picture, 'a', 'b')]
    tiny.table(f'image,fine_class\n{other},neutrophil\n')
    (tiny.root / 'list.txt').write_text(f'{other}\n', encoding='utf-8')
    dataset = tiny.build(ann_file='list.txt', regions=True)
    info = dataset.get_data_info(0)
    assert info['img_path'] == f'{tiny.root}/images/{picture}.png'
    assert (info['seg_map_path'], info['region_map_path']) == (mask, regions[0])
    assert info['region_names'] == 'neutrophil'
    assert len(dataset) == 1
    tiny.table(f'image,fine_class\n{NFC},neutrophil\n{NFD},neutrophil\n')
    with pytest.raises(DataError, match=r'labels\.csv, line [23]: .* are one picture, .* in two forms of Unicode'):
        tiny.build()


def test_tables_and_lists_of_windows_have_backslashes(tiny):
    tiny.write('images/day1/c.png', np.zeros((6, 8, 3), np.uint8))
    tiny.write('masks/day1/c.png', tiny.mask)
    tiny.table('image,fine_class\nday1\\c,vein\n')
    (tiny.root / 'list.txt').write_text('day1\\c\na\n')
    infos = [tiny.build(ann_file='list.txt').get_data_info(index) for index in range(2)]
    assert [info['region_names'] for info in infos] == ['vein', None]
    assert infos[0]['img_path'] == f'{tiny.root}/images/day1/c.png'


def test_pictures_that_are_left_out_are_noted(tiny):
    """Not the mask of a picture in the same folder, nor what macOS and tools put beside pictures."""
    assert tiny.build().notes == []
    for name in ('c.PNG', 'd.jpg', 'deeper/e.jpg', '.f.png'):
        tiny.write(f'images/{name}', np.zeros((6, 8, 3), np.uint8))
    for name in ('._a.png', 'notes.txt', '.DS_Store'):
        (tiny.root / 'images' / name).write_bytes(b'x')
    dataset = tiny.build()
    assert len(dataset) == 2
    assert [(note.kind, str(note)) for note in dataset.notes] == [
        (
            'picture left out',
            f"{tiny.root}/images: 3 of 5 pictures are left out, whose names do not end in '.png': .PNG (1, such as "
            f'{tiny.root}/images/c.PNG), .jpg (2, such as {tiny.root}/images/d.jpg); rename or convert them',
        ),
        (
            'picture left out',
            f'{tiny.root}/images: 1 hidden pictures are left out, such as {tiny.root}/images/.f.png; rename them',
        ),
    ]
    (tiny.root / 'list.txt').write_text('a\n')
    assert tiny.build(ann_file='list.txt').notes == []


def test_copies_that_a_notebook_makes_are_no_pictures(tiny):
    tiny.write('images/.ipynb_checkpoints/a-checkpoint.png', np.zeros((6, 8, 3), np.uint8))
    dataset = tiny.build()
    assert len(dataset) == 2
    assert [note.kind for note in dataset.notes] == ['picture left out']


def test_masks_beside_their_pictures_are_not_left_out_pictures(tiny):
    for name in 'ab':
        shutil.copy(tiny.root / f'masks/{name}.png', tiny.root / f'images/{name}_mask.png')
        (tiny.root / f'images/{name}.png').rename(tiny.root / f'images/{name}_sat.png')
    prefix = dict(img_path='images', seg_map_path='images')
    dataset = tiny.build(data_prefix=prefix, img_suffix='_sat.png', seg_map_suffix='_mask.png')
    assert (len(dataset), dataset.notes) == (2, [])


def test_links_to_nowhere_are_refused(tiny):
    (tiny.root / 'images/c.png').symlink_to('/mnt/store/c.png')
    message = r'images/c\.png: a link to /mnt/store/c\.png, which is not there \(1 of 3 pictures of .*/images\); mount'
    with pytest.raises(DataError, match=message):
        tiny.build()
    dataset = tiny.build(lazy_init=True)
    assert [problem.kind for problem in dataset.survey()] == ['missing file']
    assert len(dataset) == 2


def test_survey_of_nothing_usable_raises(tiny):
    for name in 'ab':
        (tiny.root / f'masks/{name}.png').unlink()
    tiny.write('masks/c.png', tiny.mask)
    with pytest.raises(DataError, match=r'masks/a\.png: no such file, .* \(2 of 2 pictures have none\)'):
        tiny.build(lazy_init=True).survey()


def test_survey_reads_the_pictures_of_a_table_that_cannot_be_read(tiny):
    tiny.table('image,fine_class\na\n')
    dataset = tiny.build(lazy_init=True)
    (problem,) = dataset.survey()
    assert (problem.kind, len(dataset)) == ('fine label', 2)
    assert 'line 2: 1 cells' in str(problem)
    assert tiny.build(lazy_init=False, fine_label_file=None).survey() == []


def test_survey_drops_names_of_regions_without_region_maps(tiny):
    tiny.table('image,region,fine_class\na,7,neutrophil\nb,,vein\n')
    message = "line 2: the row names a region, but data_prefix has no 'region_map_path'"
    with pytest.raises(DataError, match=message):
        tiny.build()
    dataset = tiny.build(lazy_init=True)
    (problem,) = dataset.survey()
    assert message in str(problem)
    assert [dataset.get_data_info(index)['region_names'] for index in range(2)] == [None, 'vein']


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_dropped_picture_is_an_error_and_not_another_picture(tiny, test_mode):
    """mmengine replaces it by chance, silently, in validation too unless test_mode is set."""
    picture = tiny.root / 'images/a.png'
    content = picture.read_bytes()
    picture.write_bytes(content[:45] + bytes([content[45] ^ 255]) + content[46:])  # within the compressed pixels
    pipeline = [dict(type='LoadImageFromFile', ignore_empty=True, imdecode_backend='pillow')]
    dataset = tiny.build(pipeline=pipeline, test_mode=test_mode)
    assert BaseSegDataset.prepare_data(dataset, 0) is None
    with pytest.raises(
        DataError, match=r'images/a\.png with .*masks/a\.png: a transform of the pipeline returned None'
    ):
        dataset[0]


def test_pictures_are_balanced_by_their_fine_classes(tiny):
    for name in ('c', 'd', 'e', 'f'):
        tiny.write(f'images/{name}.png', np.zeros((6, 8, 3), np.uint8))
        tiny.write(f'masks/{name}.png', tiny.mask)
    tiny.table('image,fine_class\na,vein\nb,artery\nc,artery\nd,artery\ne,artery\n')
    dataset = tiny.build()
    assert [dataset.get_cat_ids(i) for i in range(6)] == [[3], [2], [2], [2], [2], []]
    # One of six is a vein: sqrt(0.5 / (1 / 6)) = 1.7, rounded up; four of six arteries are more than a half.
    assert ClassBalancedDataset(dataset, oversample_thr=0.5).repeat_indices == [0, 0, 1, 2, 3, 4, 5]


def test_fine_classes_of_regions_and_of_masks(tiny):
    tiny.write('regions/a.png', tiny.mask)
    tiny.write('regions/b.png', tiny.mask)
    tiny.table('image,region,fine_class\na,1,lymphocyte\na,2,lymphocyte\na,3,vein\nb,1,\n')
    dataset = tiny.build(regions=True)
    assert [dataset.get_cat_ids(i) for i in range(2)] == [[1, 3], []]
    composed = dict(type='deepunetto_mm.LoadComposedAnnotations', labels={0: 'background', 3: 'vein'}, ignored=[1, 2])
    taxonomy = dict(
        classes=['background', 'vein'], groups=[dict(name='tube', members=['vein'], fine_classes=['artery', 'vein'])]
    )
    pipeline = [dict(type='LoadImageFromFile'), composed]
    dataset = tiny.build(fine_label_file=None, pipeline=pipeline, metainfo=dict(taxonomy=taxonomy))
    tiny.write('masks/b.png', tiny.mask * 0)
    assert [dataset.get_cat_ids(i) for i in (0, 1, 0)] == [[1], [], [1]]


def test_classes_of_a_classifier_are_the_names(tiny):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]
    dataset = tiny.build(masks=False, mask_files=False, pipeline=pipeline)
    assert dataset.metainfo['classes'] == ('neutrophil', 'lymphocyte', 'artery', 'vein')
    assert [dataset.get_data_info(i)['gt_label'] for i in range(2)] == [0, 3]
    assert tiny.build().metainfo['classes'] == ('background', 'cytoplasm', 'nucleus', 'vessel')


def test_prediction_only_needs_neither_masks_nor_table(tiny):
    (tiny.root / 'labels.csv').unlink()
    packed = tiny.build(masks=False, test_mode=True)[0]
    assert packed['inputs'].shape == (3, 6, 8)
    assert not [key for key in packed['data_samples'].keys() if key.startswith('gt_')]


def test_lists_and_tables_may_name_files(tiny):
    tiny.table('image,fine_class\na.png,neutrophil\nb,vein\n')
    (tiny.root / 'list.txt').write_text('b.png\na\n')
    dataset = tiny.build(ann_file='list.txt')
    assert [dataset.get_data_info(i)['region_names'] for i in (0, 1)] == ['vein', 'neutrophil']
    tiny.table('image,fine_class\na.png,neutrophil\na,vein\n')
    with pytest.raises(DataError, match="are one picture, 'a', with and without suffix"):
        tiny.build()


def test_masks_of_16_bits_are_for_composed_annotations(tiny):
    """Names beyond 255, and what a transform fills with 255 is ignored, not the name of that label."""
    group = dict(name='cell', members=['cell'], fine_classes=[f'kind {n}' for n in range(300)])
    taxonomy = Taxonomy.from_dict(dict(classes=['background', 'cell'], groups=[group]))
    for name in 'ab':
        tiny.write(f'masks/{name}.png', np.array([[0, 255, 300, 0, 0, 0, 0, 0]] * 6, np.uint16))
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='deepunetto_mm.LoadComposedAnnotations', labels=list(taxonomy.composed_classes)),
        dict(type='RandomRotate', prob=1.0, degree=(90, 90), seg_pad_val=255),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    options = dict(metainfo=dict(taxonomy=taxonomy.to_dict()), fine_label_file=None)
    sample = tiny.build(pipeline=pipeline, **options)[0]['data_samples']
    names, classes = sample.gt_fine_seg.data, sample.gt_sem_seg.data
    assert classes.unique().tolist() == [0, 1, 255]
    assert torch.equal(names == 32767, classes == 255)
    assert names[classes == 1].unique().tolist() == [255, 300]
    assert sorted(sample.gt_regions.fine_labels.tolist()) == [254, 299]
    with pytest.raises(DataError, match=r'a mask of 16 bits; .* are read by LoadComposedAnnotations'):
        tiny.build(**options)[0]


@pytest.mark.parametrize(
    'start', ['image;fine_class', 'image\tfine_class', 'sep=;\nimage;fine_class', 'sep=,\nimage,fine_class']
)
def test_tables_of_spreadsheets_in_other_languages(tiny, start):
    mark = start[start.rindex('image') + len('image')]
    tiny.table(f'{start}\na{mark}neutrophil\nb{mark}vein\n')
    dataset = tiny.build()
    assert [dataset.get_data_info(index)['region_names'] for index in range(2)] == ['neutrophil', 'vein']
    tiny.table(f'{start}\na{mark}neutrophil\nB{mark}vein\n')
    line = 3 + start.count('\n')
    with pytest.raises(DataError, match=rf"labels\.csv, line {line}: no picture 'B\.png' .*\(there is 'b'\)"):
        tiny.build()


def test_fine_classes_in_another_form_of_unicode(tiny):
    taxonomy = tiny.build().taxonomy.to_dict()
    taxonomy['groups'][0]['fine_classes'][0] = NFD
    tiny.table(f'image,fine_class\na,{NFC}\nb,{NFD}\n')
    dataset = tiny.build(metainfo=dict(taxonomy=taxonomy))
    assert dataset.taxonomy.fine_classes[0] == NFC
    assert [dataset.get_data_info(index)['region_names'] for index in range(2)] == [NFC, NFC]


def _raise(error):
    def transform(results):
        raise error

    return transform


def test_lack_of_memory_is_no_fault_of_the_picture(tiny):
    """SkipBadSamplesHook would leave the picture out."""
    dataset = tiny.build(pipeline=[_raise(MemoryError('no memory'))])
    with pytest.raises(MemoryError, match='no memory'):
        dataset[0]


def test_a_picture_of_floats_is_not_blamed_for_what_follows(tiny):
    for name in 'ab':
        tiny.write(f'images/{name}.tif', np.full((6, 8), 0.5, np.float32))
    pipeline = [dict(type='deepunetto_mm.LoadScaledImage', low=0, high=1), _raise(KeyError('mine'))]
    with pytest.raises(RuntimeError, match=r"failed on .*images/a\.tif with .*masks/a\.png: KeyError: 'mine'"):
        tiny.build(pipeline=pipeline, img_suffix='.tif')[0]


ROADS = dict(
    classes=['road', 'vehicle'], groups=[dict(name='vehicle', members=['vehicle'], fine_classes=['car', 'bus'])]
)


def _build_roads(tiny, pipeline, ignore_index=255, **options):
    """Road 0, a car 300 of picture a and a bus 600 of picture b, and 9, which is ignored."""
    for name, value in (('a', 300), ('b', 600)):
        tiny.write(f'masks/{name}.png', np.array([[0, value, value, 0, 9, 0, 0, 0]] * 6, np.uint16))
    labels = {0: 'road', 300: 'car', 600: 'bus'}
    loader = dict(type='deepunetto_mm.LoadComposedAnnotations', labels=labels, ignored=[9])
    options = dict(fine_label_file=None, metainfo=dict(taxonomy=dict(ROADS, ignore_index=ignore_index))) | options
    return tiny.build(pipeline=[dict(type='LoadImageFromFile'), *pipeline(loader)], **options)


PACK = dict(type='deepunetto_mm.PackRegionInputs')


def test_masks_of_16_bits_in_augmented_tests(tiny):
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0, direction='horizontal')]
    dataset = _build_roads(
        tiny, lambda loader: [dict(type='TestTimeAug', transforms=[flips, [loader], [PACK]])], test_mode=True
    )
    samples = dataset[1]['data_samples']
    assert [sample.gt_regions.fine_labels.tolist() for sample in samples] == [[1], [1]]
    assert [dataset.get_cat_ids(index) for index in range(2)] == [[0], [1]]


@pytest.mark.parametrize(('ignore_index', 'of_names'), [(-1, -1), (-100, -100), (-1000, -1000), (2, 32767), (300, 300)])
def test_any_index_may_be_ignored(tiny, ignore_index, of_names):
    flip = dict(type='RandomFlip', prob=1.0, direction='horizontal')
    sample = _build_roads(tiny, lambda loader: [loader, flip, PACK], ignore_index)[0]['data_samples']
    assert sample.gt_sem_seg.data[0].tolist() == [[0, 0, 0, ignore_index, 0, 1, 1, 0]] * 6
    assert sample.gt_fine_seg.data[0].tolist() == [[0, 0, 0, of_names, 0, 1, 1, 0]] * 6
    assert sample.gt_region_map.data[0].tolist() == [[0, 0, 0, 0, 0, 1, 1, 0]] * 6
    # The same with a map of the regions, one of them on ignored pixels alone.
    for name in 'ab':
        tiny.write(f'regions/{name}.png', np.array([[0, 7, 7, 7, 8, 0, 0, 0]] * 6, np.uint8))
    dataset = _build_roads(tiny, lambda loader: [loader, flip, PACK], ignore_index, regions=True)
    assert dataset[0]['data_samples'].gt_region_map.data[0].tolist() == [[0, 0, 0, 0, 0, 1, 1, 0]] * 6


def test_names_are_in_masks_or_in_a_table(tiny):
    for name in 'ab':
        tiny.write(f'regions/{name}.png', np.array([[0, 7, 7, 0, 0, 0, 0, 0]] * 6, np.uint8))
    tiny.table('image,region,fine_class\na,7,bus\n')
    options = dict(regions=True, fine_label_file='labels.csv')
    with pytest.raises(
        DataError, match=r'labels\.csv, line 2: the row names a region, but LoadComposedAnnotations reads'
    ):
        _build_roads(tiny, lambda loader: [loader, PACK], **options)
    dataset = _build_roads(tiny, lambda loader: [loader, PACK], lazy_init=True, **options)
    assert [problem.kind for problem in dataset.survey()] == ['fine label']
    # Names of whole pictures are another matter, and their masks have more than they.
    tiny.table('image,fine_class\na,bus\n')
    dataset = _build_roads(tiny, lambda loader: [loader, PACK], **options)
    assert dataset[0]['data_samples'].gt_label.tolist() == [1]
    assert [dataset.get_cat_ids(index) for index in range(2)] == [[0], [1]]


def test_fine_classes_of_a_part_of_the_pictures(tiny):
    dataset = _build_roads(tiny, lambda loader: [loader, PACK])
    assert [dataset.get_cat_ids(index) for index in range(2)] == [[0], [1]]
    assert dataset.get_subset([1]).get_cat_ids(0) == [1]


def test_files_are_checked_before_their_classes_are_read(tiny):
    dataset = _build_roads(tiny, lambda loader: [loader, PACK])
    for path in ('images/a.png', 'masks/b.png'):
        (tiny.root / path).write_bytes((tiny.root / path).read_bytes()[:-20])
    with pytest.raises(DataError, match=r'images/a\.png: the file is truncated'):
        dataset.get_cat_ids(0)
    with pytest.raises(DataError, match=r'masks/b\.png: the file is truncated'):
        dataset.get_cat_ids(1)
    dataset = tiny.build(fine_label_file=None, pipeline=[_raise(KeyError('mine'))])
    tiny.write('images/a.png', np.zeros((6, 8, 3), np.uint8))
    tiny.write('masks/a.png', tiny.mask)
    with pytest.raises(RuntimeError, match=r"failed on .*images/a\.png .*: KeyError: 'mine'"):
        dataset.get_cat_ids(0)


def test_the_first_wrong_names_of_many_get_suggestions(tiny):
    """Each looks through the names of all pictures."""
    tiny.write('images/picture.png', np.zeros((6, 8, 3), np.uint8))
    tiny.write('masks/picture.png', tiny.mask)
    tiny.table('image,fine_class\n' + ''.join(f'picture{number},vein\n' for number in range(30)))
    messages = [str(problem) for problem in tiny.build(lazy_init=True).survey()]
    assert [" (there is 'picture'); fix or remove the row" in message for message in messages] == [True] * 20 + [
        False
    ] * 10


def test_names_may_have_no_suffix(tiny):
    tiny.table('image,fine_class\nb.png,vein\n')
    dataset = tiny.build(img_suffix='', seg_map_suffix='')
    assert [dataset.get_data_info(index)['img_path'] for index in range(2)] == [
        f'{tiny.root}/images/{name}.png' for name in 'ab'
    ]
    assert dataset.get_data_info(1)['seg_map_path'] == f'{tiny.root}/masks/b.png'
    assert dataset.get_cat_ids(1) == [3]
