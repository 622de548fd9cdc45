"""Whatever is wrong with the data of a config is found, by the name of its file; what mmseg does is beside it."""

import re
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from PIL import Image

from deepunetto_mm.datasets import DataError
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.verification.dataset_check import check_sample, list_datasets, verify_datasets


def _errors(report):
    return [item for part in report.splits for item in part.findings if item.level == 'error'] + [
        item for item in report.findings if item.level == 'error'
    ]


def _all(report, kind):
    found = [item for part in report.splits for item in part.findings] + report.findings
    return [item for item in found if item.kind == kind]


def test_a_sound_dataset_is_counted(config):
    """By hand: 48 pixels a picture, of which the mask has 34, 5, 1 and 8."""
    report = verify_datasets(config())
    assert _errors(report) == []
    train, val = report.splits
    assert (train.name, train.dataset, train.pictures, train.read) == ('train', 'CoarseFineDataset', 2, 2)
    assert train.sizes == [(8, 6), (8, 6)]
    assert [(entry.pixels, entry.pictures) for entry in train.classes] == [(68, 2), (10, 2), (2, 2), (16, 2)]
    assert train.ignored_pixels == 0
    assert [(entry.group, entry.regions, entry.percentiles) for entry in train.groups] == [
        ('cell', 2, [6.0] * 5),
        ('tube', 2, [8.0] * 5),
    ]
    assert [(entry.name, entry.group, entry.regions, entry.median, entry.pictures) for entry in train.fine_classes] == [
        ('neutrophil', 'cell', 1, 6.0, 1),
        ('lymphocyte', 'cell', 0, None, 0),
        ('artery', 'tube', 0, None, 0),
        ('vein', 'tube', 1, 8.0, 1),
    ]
    assert (train.regions, train.unnamed_regions, train.without_region) == (4, 2, 0)
    assert [(entry.pixels, entry.pictures) for entry in val.classes] == [(40, 1), (0, 0), (0, 0), (0, 0)]
    assert (val.ignored_pixels, val.regions, val.without_region) == (8, 0, 1)
    assert [(item.kind, item.message.partition(' in ')[0]) for item in train.findings] == [
        ('fine class without an object', 'nothing is called lymphocyte, artery'),
        ('region without a fine class', '2 of 4 regions have no fine class'),
    ]
    assert [item.kind for item in val.findings] == ['class without a pixel', 'no region']


def test_processes_find_what_one_finds(config):
    assert verify_datasets(config(), workers=2) == verify_datasets(config())


def _cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b'IDAT') + 6] ^= 255
    path.write_bytes(bytes(content))


def _palette(path, values):
    image = Image.fromarray(values, 'P')
    image.putpalette(list(range(256)) * 3)
    image.save(path)


PICTURE, MASK = 'images/train/a.jpg', 'masks/train/a.png'
STOPS, NAMELESS, PASSES = 'stops, with the name of the file', 'stops, without', 'passes'
# Defect -> how it is made; what it is called, of which file; and what a whole epoch of mmseg over the same files does.
DEFECTS = {
    'a truncated picture': (lambda root, blood: _cut(root / PICTURE), 'truncated file', PICTURE, STOPS),
    'a truncated mask': (lambda root, blood: _cut(root / MASK), 'truncated file', MASK, NAMELESS),
    'an empty picture': (lambda root, blood: (root / PICTURE).write_bytes(b''), 'truncated file', PICTURE, NAMELESS),
    'a web page for a picture': (
        lambda root, blood: (root / PICTURE).write_text('<html>'),
        'unreadable file',
        PICTURE,
        STOPS,
    ),
    'a mask with a flipped bit': (lambda root, blood: _flip(root / MASK), 'unreadable file', MASK, NAMELESS),
    'a missing mask': (lambda root, blood: (root / MASK).unlink(), 'missing file', MASK, STOPS),
    'a mask of another size': (
        lambda root, blood: blood['write'](root, MASK, np.zeros((12, 16), np.uint8)),
        'size mismatch',
        MASK,
        PASSES,
    ),
    'a mask in colours': (
        lambda root, blood: blood['write'](root, MASK, np.stack([blood['MASK'] * 80] * 3, -1)),
        'colour mask',
        MASK,
        PASSES,
    ),
    'a mask of 16 bits': (
        lambda root, blood: blood['write'](root, MASK, blood['MASK'].astype(np.uint16) * 256),
        'mask of 16 bits',
        MASK,
        PASSES,
    ),
    'labels of no class': (
        lambda root, blood: blood['write'](root, MASK, blood['MASK'] + 3),
        'unknown labels',
        MASK,
        PASSES,
    ),
    'a row of no picture': (
        lambda root, blood: (root / 'labels.csv').write_text('split,image,fine_class\ntrain,x,vein\nval,c,\n'),
        'fine label',
        'labels.csv',
        PASSES,
    ),
    'a name of another group': (
        lambda root, blood: (root / 'labels.csv').write_text('split,image,fine_class\ntrain,a,wein\nval,c,\n'),
        'fine label',
        'labels.csv',
        PASSES,
    ),
    'a picture that is tested on too': (
        lambda root, blood: shutil.copy(root / 'images/val/c.jpg', root / PICTURE),
        'picture in training and test data',
        PICTURE,
        PASSES,
    ),
}


@pytest.mark.parametrize('defect', DEFECTS)
def test_what_is_wrong_is_named(config, root, blood, mmseg_scope, defect):
    make, kind, file, mmseg_does = DEFECTS[defect]
    make(root, blood)
    report = verify_datasets(config())
    (error,) = _errors(report)
    assert error.kind == kind
    assert str(root / file) in error.message
    assert report.number('error') == 1
    # The rest has been read all the same.
    assert len([item for part in report.splits for item in part.classes]) == 8

    plain = DATASETS.build(blood['plain_dataset'](root, 'train'))
    if mmseg_does == PASSES:
        assert len([plain[index] for index in range(2)]) == 2
    else:
        with pytest.raises((AssertionError, OSError, cv2.error)) as stopped:
            [plain[index] for index in range(2)]
        assert (str(root / file) in str(stopped.value)) == (mmseg_does == STOPS)


def test_what_is_left_out_is_told(config, root, blood, mmseg_scope):
    """By our datasets and by mmseg's; before training, too."""
    (root / 'images/train/b.jpg').rename(root / 'images/train/b.JPG')
    (root / 'labels.csv').write_text('split,image,fine_class\ntrain,a,neutrophil\nval,c,\n')
    told = "1 of 2 pictures are left out, whose names do not end in '.jpg': .JPG (1, such as "
    (finding,) = _all(verify_datasets(config()), 'picture left out')
    assert told in finding.message
    assert re.search('; 1 warning: train: .*' + re.escape(told), check_sample(config()))
    plain = Config(dict(train_dataloader=dict(dataset=blood['plain_dataset'](root, 'train'))))
    (finding,) = _all(verify_datasets(plain), 'picture left out')
    assert told in finding.message


def test_what_is_lost_when_pictures_are_read_is_told(config, root):
    """16 bits of one picture, a fourth band of another, and a third that its EXIF orientation turns."""
    picture = np.random.default_rng(0).integers(0, 4096, (6, 8, 3)).astype(np.uint16)
    cv2.imwrite(str(root / 'images/train/a.png'), picture)
    cv2.imwrite(str(root / 'images/train/b.png'), np.dstack([picture, picture[..., :1]]).astype(np.uint8))
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray((picture >> 4).astype(np.uint8)).save(root / 'images/val/c.png', exif=exif)
    for path in root.glob('images/*/*.jpg'):
        path.unlink()
    report = verify_datasets(config(img_suffix='.png'))
    for kind in ('picture of 16 bits', 'fourth band', 'picture turned by EXIF'):
        assert len(_all(report, kind)) == 1, kind
    assert _errors(report) == []
    line = check_sample(config(img_suffix='.png'))
    assert '3 warnings' in line
    assert 'are read as 0 to 15' in line
    assert 'EXIF orientation 3' in line


def test_labels_of_no_class_are_counted_by_value(config, root, blood):
    for name, shift in (('a', 3), ('b', 6)):
        blood['write'](root, f'masks/train/{name}.png', blood['MASK'] + shift)
    report = verify_datasets(config())
    # a has 3 (34 pixels), 4 (5), 5, 6 (8); b has 6 (34), 7 (5), 8, 9 (8).
    assert report.splits[0].unknown_labels == {4: (5, 1), 5: (1, 1), 6: (42, 2), 7: (5, 1), 8: (1, 1), 9: (8, 1)}
    assert '| (value 6, no class)' in report.to_text()
    assert '42 pixels (2)' in report.to_text()


def test_masks_of_0_and_255_are_explained(blood, root):
    """Any single one may be right: what it has of 255 is ignored. A whole split without the second class is not."""
    taxonomy = dict(classes=['ground', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['a', 'b'])])
    changes = dict(metainfo=dict(taxonomy=taxonomy), fine_label_file=None, split=None)
    cfg = blood['config'](blood['dataset'](root, 'train', **changes))
    for name in 'ab':
        blood['write'](root, f'masks/train/{name}.png', np.where(blood['MASK'], 255, 0).astype(np.uint8))
    (error,) = _errors(verify_datasets(cfg))
    assert error.kind == '255 in masks of two classes'
    assert error.message.startswith("no mask has the class 'cell', which is 1, and 2 have 255, which is ignored")
    assert error.message.endswith('in a mask of two classes write 1 for the second')
    blood['write'](root, 'masks/train/b.png', np.where(blood['MASK'], 1, 0).astype(np.uint8))
    assert _errors(verify_datasets(cfg)) == []


def test_what_may_be_meant_is_a_warning(config, root, blood):
    blood['write'](root, 'images/train/a.jpg', np.full((6, 8, 3), 7, np.uint8))
    blood['write'](root, 'masks/train/a.png', np.full((6, 8), 255, np.uint8))
    blood['write'](root, 'masks/train/x.png', blood['MASK'])
    _palette(root / 'masks/train/b.png', blood['MASK'])
    report = verify_datasets(config())
    assert _errors(report) == []
    for kind, file in (
        ('picture of one colour', 'images/train/a.jpg'),
        ('ignored only', 'masks/train/a.png'),
        ('file of no picture', 'masks/train/x.png'),
        ('mask with a palette', 'images/train/b.jpg'),
    ):
        (warning,) = _all(report, kind)
        assert warning.level == 'warning'
        assert str(root / file) in warning.message
    assert [(entry.pixels, entry.pictures) for entry in report.splits[0].classes] == [(34, 1), (5, 1), (1, 1), (8, 1)]


def test_a_split_without_any_label_is_an_error(config, root, blood):
    blood['write'](root, 'masks/val/c.png', np.full((6, 8), 255, np.uint8))
    assert [item.kind for item in _errors(verify_datasets(config()))] == ['nothing labelled']


def test_region_maps_are_checked_against_mask_and_table(config, root, blood):
    prefixes = [
        dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}', region_map_path=f'regions/{split}')
        for split in ('train', 'val')
    ]
    ids = np.where(blood['MASK'] == 3, 300, np.where(blood['MASK'], 7, 0)).astype(np.uint16)
    for path, values in (('train/a', ids), ('train/b', ids), ('val/c', ids * 0), ('val/d', ids)):
        blood['write'](root, f'regions/{path}.png', values)
    rows = 'train,a,neutrophil,7\ntrain,b,,\nval,c,,\n'
    (root / 'labels.csv').write_text(f'split,image,fine_class,region\n{rows}')

    def verify():
        parts = [blood['dataset'](root, split, data_prefix=prefix) for split, prefix in zip(('train', 'val'), prefixes)]
        return verify_datasets(blood['config'](*parts))

    report = verify()
    assert _errors(report) == []
    assert [item.message.partition(':')[0] for item in _all(report, 'file of no picture')] == [
        str(root / 'regions/val/d.png')
    ]
    assert report.splits[0].fine_classes[0].regions == 1

    on_ground = ids.copy()
    on_ground[0] = 9
    blood['write'](root, 'regions/train/b.png', on_ground)
    (root / 'labels.csv').write_text(f'split,image,fine_class,region\n{rows.replace("7", "8")}')
    messages = [item.message for item in _errors(verify()) if item.kind == 'region map']
    assert re.search(r'regions/train/a\.png: the table of fine labels names the regions \[8\]', messages[0])
    assert re.search(r'regions/train/b\.png: the regions \[9\] cover no pixel of any group', messages[1])

    (root / 'labels.csv').write_text(f'split,image,fine_class,region\n{rows.replace("neutrophil", "vein")}')
    blood['write'](root, 'regions/train/b.png', ids)
    (error,) = _errors(verify())
    assert error.kind == 'fine label'
    assert 'regions/train/a.png: region 7 belongs to group' in error.message


def test_all_missing_files_are_listed(config, root):
    for name in 'ab':
        (root / f'masks/train/{name}.png').unlink()
    (root / 'labels.csv').write_text('split,image,fine_class\ntrain,x,vein\ntrain,y,vein\nval,c,\n')
    shutil.copy(root / 'masks/val/c.png', root / 'masks/train/z.png')
    shutil.copy(root / 'images/val/c.jpg', root / 'images/train/z.jpg')
    messages = [
        item.message for item in _errors(verify_datasets(config())) if item.kind != 'picture in training and test data'
    ]
    assert [message.partition(':')[0] for message in messages] == [
        str(root / 'masks/train/a.png'),
        str(root / 'masks/train/b.png'),
        f'{root / "labels.csv"}, line 2',
        f'{root / "labels.csv"}, line 3',
    ]


def test_splits_may_share_a_folder_of_masks(blood, root):
    """A mask is left over if it belongs to no picture of any split."""
    for path in (root / 'masks').rglob('*.png'):
        path.rename(root / 'masks' / path.name)
    blood['write'](root, 'masks/x.png', blood['MASK'])
    parts = [
        blood['dataset'](root, split, data_prefix=dict(img_path=f'images/{split}', seg_map_path='masks'))
        for split in ('train', 'val')
    ]
    found = _all(verify_datasets(blood['config'](*parts)), 'file of no picture')
    assert [item.message.partition(':')[0] for item in found] == [f'{root}/masks/x.png']


def test_a_split_that_cannot_be_built_is_an_error_and_the_others_are_read(config, root):
    shutil.rmtree(root / 'masks/train')
    report = verify_datasets(config())
    (error,) = _errors(report)
    assert error.kind == 'dataset that cannot be built'
    assert str(root / 'masks/train') in error.message
    assert [part.read for part in report.splits] == [0, 1]


def test_the_same_content_is_found_in_another_format(blood, root):
    """Decoded pixels are compared, not files."""
    cv2.imwrite(str(root / 'images/val/d.bmp'), cv2.imread(str(root / PICTURE)))
    shutil.copy(root / MASK, root / 'masks/val/d.png')
    cfg = blood['config'](
        dict(type='ConcatDataset', datasets=[blood['dataset'](root, 'train')] * 2),
        blood['dataset'](root, 'val', img_suffix='.bmp', fine_label_file=None, split=None),
    )
    report = verify_datasets(cfg)
    assert [part.name for part in report.splits] == ['train[0] and train[1]', 'val']
    (error,) = report.findings
    assert (error.level, error.kind) == ('error', 'picture in training and test data')
    assert error.message.startswith(
        f'{root}/images/train/a.jpg (train[0] and train[1]), {root}/images/val/d.bmp (val): '
    )


def test_a_picture_twice_within_a_split_is_a_warning(config, root):
    shutil.copy(root / PICTURE, root / 'images/train/b.jpg')
    (warning,) = verify_datasets(config()).findings
    assert (warning.level, warning.kind) == ('warning', 'picture twice')
    assert warning.message.startswith(f'{root}/images/train/a.jpg (train), {root}/images/train/b.jpg (train): ')


def test_validation_and_test_data_may_be_the_same_files(blood, root):
    """Their pipelines differ; a copy of a file is another matter."""
    parts = [blood['dataset'](root, 'val', pipeline=blood['LOADING'][:number]) for number in (2, 3)]
    cfg = blood['config'](blood['dataset'](root, 'train'), parts[0], test_dataloader=dict(dataset=parts[1]))
    report = verify_datasets(cfg)
    assert [part.name for part in report.splits] == ['train', 'val', 'test']
    assert report.findings == []
    shutil.copy(root / 'images/val/c.jpg', root / 'images/val/d.jpg')
    shutil.copy(root / 'masks/val/c.png', root / 'masks/val/d.png')
    assert [item.kind for item in verify_datasets(cfg).findings] == ['picture twice']


def test_training_data_that_is_test_data_is_one_error(blood, root):
    part = blood['dataset'](root, 'train')
    report = verify_datasets(blood['config'](part, part))
    assert [part.name for part in report.splits] == ['train and val']
    assert [item.kind for item in _errors(report)] == ['training data that is test data']


def test_datasets_within_wrappers_are_read(blood, root):
    train = dict(
        type='RepeatDataset',
        times=100,
        dataset=dict(type='ConcatDataset', datasets=[blood['dataset'](root, split) for split in ('train', 'val')]),
    )
    report = verify_datasets(blood['config'](train))
    assert [(part.name, part.read) for part in report.splits] == [('train[0]', 2), ('train[1]', 1)]


def test_mmsegs_own_datasets_are_checked(blood, root):
    """Their masks by their classes; without these, by the size alone."""
    plain = blood['plain_dataset']
    blood['write'](root, 'masks/train/a.png', blood['MASK'] + 3)
    blood['write'](root, 'masks/train/b.png', np.zeros((12, 16), np.uint8))
    shutil.copy(root / 'images/val/c.jpg', root / 'images/train/z.jpg')  # without a mask
    (root / 'masks/train/y.png').write_bytes(b'')
    report = verify_datasets(blood['config'](plain(root, 'train'), plain(root, 'val')))
    found = {item.kind: item.message for item in _errors(report)}
    assert found.pop('unknown labels').startswith(f'{root}/masks/train/a.png: 14 pixels have the labels [4, 5, 6]')
    assert found.pop('size mismatch').startswith(f'{root}/masks/train/b.png: the mask is 16x12 pixels')
    assert found.pop('missing file').startswith(f'{root}/masks/train/z.png: no such file, the mask of a sample')
    assert str(root / 'images/train/z.jpg') not in str(found)  # not read, since it has no mask
    assert not found
    assert [item.message.partition(':')[0] for item in _all(report, 'file of no picture')] == [
        f'{root}/masks/train/y.png'
    ]
    assert [(entry.name, entry.pixels) for entry in report.splits[1].classes][0] == ('background', 40)
    assert report.splits[1].groups == []

    (root / 'images/train/z.jpg').unlink()
    report = verify_datasets(blood['config'](plain(root, 'train', metainfo=None)))
    assert [item.kind for item in _errors(report)] == ['size mismatch']


def test_a_list_of_pictures_whose_folder_is_absent(blood, root):
    (root / 'list.txt').write_text('a\nb\n')
    prefix = dict(img_path='nowhere', seg_map_path='masks/train')
    train = blood['plain_dataset'](root, 'train', ann_file='list.txt', data_prefix=prefix)
    messages = [
        item.message for item in _errors(verify_datasets(blood['config'](train))) if item.kind == 'missing file'
    ]
    assert [message.partition(':')[0] for message in messages] == [f'{root}/nowhere/{name}.jpg' for name in 'ab']


def test_a_list_of_whole_paths_needs_no_folder(blood, root):
    for name in 'ab':
        shutil.copy(root / f'masks/train/{name}.png', root / f'images/train/{name}.png')
    (root / 'list.txt').write_text(f'{root}/images/train/a\n{root}/images/train/b\n')
    prefix = dict(img_path='', seg_map_path='')
    train = blood['plain_dataset'](root, '', data_root=None, ann_file=str(root / 'list.txt'), data_prefix=prefix)
    report = verify_datasets(blood['config'](train))
    assert _errors(report) == []
    assert report.splits[0].read == 2


def test_drawn_scenes_have_no_files_and_are_read(repository):
    cfg = Config.fromfile(repository / 'tests/data/tiny_config.py')
    report = verify_datasets(cfg)
    assert [(part.name, part.read) for part in report.splits] == [('train', 4), ('val and test', 3)]
    assert _errors(report) == []
    assert report.splits[0].regions > 0
    assert sum(entry.pixels for entry in report.splits[0].classes) == 4 * 64 * 64
    cfg.test_dataloader.dataset.seed = 0
    (first, *_) = verify_datasets(cfg, ['train', 'test']).findings
    assert first.kind == 'picture in training and test data'


def test_coco_annotations_are_read(coco, blood, tmp_path):
    coco['write_tree'](tmp_path)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='deepunetto_mm.LoadCocoAnnotations'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    part = dict(
        type='deepunetto_mm.CocoFineDataset',
        data_root=str(tmp_path),
        ann_file='instances.json',
        data_prefix=dict(img_path='images'),
        pipeline=pipeline,
    )
    report = verify_datasets(blood['config'](part))
    (train,) = report.splits
    assert _errors(report) == []
    # a: cup 3, dog 15 of 16 and cat 8 pixels; c: a cat of 48; b: nothing.
    assert [(entry.name, entry.regions, entry.median) for entry in train.fine_classes] == [
        ('dog', 1, 15.0),
        ('cat', 2, 28.0),
        ('cup', 1, 3.0),
    ]
    assert train.without_region == 1
    (tmp_path / 'images/a.png').unlink()
    (tmp_path / 'images/b.png').unlink()
    blood['write'](tmp_path, 'images/sub/c.png', np.zeros((8, 6, 3), np.uint8))
    found = [(item.kind, item.message.partition(':')[0]) for item in _errors(verify_datasets(blood['config'](part)))]
    assert found == [
        ('missing file', str(tmp_path / 'images/a.png')),
        ('missing file', str(tmp_path / 'images/b.png')),
        ('size mismatch', str(tmp_path / 'images/sub/c.png')),
    ]


def test_the_layout_of_cityscapes_is_read(repository, cityscapes_tree, tmp_path):
    cityscapes_tree['write_tree'](tmp_path)
    cfg = Config.fromfile(repository / 'configs/deepunetto_cityscapes.py')
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(tmp_path)
    (tmp_path / 'gtFine/val/lindau/lindau_000009_000019_gtFine_labelIds.png').write_bytes(b'')
    report = verify_datasets(cfg, ['train', 'val'], workers=2)
    assert _errors(report) == []
    assert [(part.name, part.read, part.without_region) for part in report.splits] == [('train', 4, 1), ('val', 4, 1)]
    # Other files of the same folder (colours, polygons) are no masks.
    (leftover,) = _all(report, 'file of no picture')
    assert 'lindau_000009_000019_gtFine_labelIds.png' in leftover.message


def test_names_of_pictures_without_masks_are_counted(blood, root):
    """As a classifier of whole pictures has them."""
    part = blood['dataset'](
        root,
        'train',
        data_prefix=dict(img_path='images/train'),
        mask_files=False,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')],
    )
    (train,) = verify_datasets(blood['config'](part)).splits
    assert [(entry.name, entry.pictures) for entry in train.fine_classes if entry.pictures] == [
        ('neutrophil', 1),
        ('vein', 1),
    ]
    assert (train.classes, train.groups) == ([], [])


def test_a_misused_transform_is_told_from_a_bad_file(config, blood):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.LoadRegions')]
    errors = _errors(verify_datasets(config(pipeline=pipeline)))
    assert [item.kind for item in errors] == ['pipeline'] * 3
    assert 'put LoadAnnotations before it' in errors[0].message


def test_augmentation_is_not_run(config, blood):
    pipeline = [*blood['LOADING'], lambda results: pytest.fail('augmented')]
    assert _errors(verify_datasets(config(pipeline=pipeline))) == []


class Mixed:
    """A wrapper that nobody knows."""


class Listless:
    """Neither a dataset of mmengine's nor a wrapper."""


def test_wrappers_of_ones_own_are_looked_into(blood, root):
    report = verify_datasets(blood['config'](dict(type=Mixed, dataset=blood['dataset'](root, 'train'))))
    assert [(part.name, part.read) for part in report.splits[:1]] == [('train', 2)]


def test_other_kinds_are_refused_in_words(blood, root):
    cfg = blood['config'](dict(type=Listless, source=str(root)))
    with pytest.raises(UsageError, match='the dataset Listless is not a BaseDataset of mmengine, nor a wrapper'):
        verify_datasets(cfg)
    # Before training, nobody is kept from using it.
    assert check_sample(cfg).startswith('data not checked: the dataset Listless')


def test_a_config_without_data_is_refused():
    with pytest.raises(UsageError, match=r'the config .* has no train_dataloader, val_dataloader'):
        list_datasets(Config(dict(train_dataloader=None)), ['train', 'val'])


class Deadly(BaseDataset):
    """Two samples, of which the second takes its process with it."""

    def load_data_list(self):
        return [dict(img_path='a.png', img=np.zeros((4, 4, 3), np.uint8)) for _ in range(2)]

    def get_data_info(self, idx):
        if idx == 1 and getattr(self, 'armed', False):
            import os

            os._exit(1)
        return super().get_data_info(idx)


def test_a_process_that_dies_names_what_it_read(blood, monkeypatch):
    from torch.utils.data import get_worker_info

    monkeypatch.setattr(Deadly, 'armed', property(lambda self: get_worker_info() is not None), raising=False)
    with pytest.raises(DataError, match=r"a process died while it read one of \['a.png'"):
        verify_datasets(blood['config'](dict(type=Deadly)), workers=1)


def test_a_sample_is_checked_before_training(config, root, blood):
    line = check_sample(config())
    assert re.fullmatch(
        r'data checked: 2 of 2 pictures of train, 1 of 1 pictures of val in \d\.\d s, nothing noticed', line
    )
    assert check_sample(config(), number=1).startswith('data checked: 1 of 2 pictures of train, 1 of 1')
    assert check_sample(config(), seconds=0).startswith('data checked: 1 of 2 pictures of train, 1 of 1')
    blood['write'](root, 'masks/train/a.png', np.full((6, 8), 255, np.uint8))
    assert re.search(r'; 1 warning: train: .*a\.png: every pixel has the value 255', check_sample(config()))
    blood['write'](root, 'masks/val/c.png', blood['MASK'] + 3)
    expected = r'masks/val/c.png: 14 pixels have .* \(1 errors in 1 of 1 pictures of val\. tools/misc/verify_dataset'
    with pytest.raises(DataError, match=expected):
        check_sample(config())


def test_a_run_that_may_skip_samples_is_only_warned_of_them(blood, root):
    _cut(root / PICTURE)
    parts = [blood['dataset'](root, split) for split in ('train', 'val')]
    cfg = blood['config'](*parts, custom_hooks=[dict(type='deepunetto_mm.SkipBadSamplesHook')])
    assert '1 warning: train: ' in check_sample(cfg)
    _cut(root / 'images/val/c.jpg')
    with pytest.raises(DataError, match='pictures of val'):
        check_sample(cfg)


def test_the_test_data_is_left_alone_before_training(config):
    cfg = config()
    cfg.test_dataloader = dict(dataset=dict(type='deepunetto_mm.CoarseFineDataset', data_prefix=dict(img_path='gone')))
    assert 'of val' in check_sample(cfg)


def test_validation_without_masks_is_refused_before_training(blood, root):
    without = blood['dataset'](root, 'val', data_prefix=dict(img_path='images/val'), test_mode=True)
    metric = dict(type='deepunetto_mm.FineGrainedMetric')
    cfg = blood['config'](blood['dataset'](root, 'train'), without, val_evaluator=[metric])
    with pytest.raises(DataError, match='validation data have no masks, and FineGrainedMetric would have nothing'):
        check_sample(cfg)
    cfg.val_evaluator = dict(type='deepunetto_mm.PictureAccuracy')
    assert '1 of 1 pictures of val' in check_sample(cfg)


def test_masks_that_count_from_1(blood, root):
    """With a class to spare nothing is out of range, and all classes are shifted."""
    for path in (root / 'masks').rglob('*.png'):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(mask == 0, 1, mask))
    for reduce, said in ((False, True), (True, False)):
        dataset = blood['dataset'](root, 'train', reduce_zero_label=reduce)
        (report,) = verify_datasets(blood['config'](dataset)).splits
        messages = [item.message for item in report.findings if item.kind == 'class without a pixel']
        assert any('count classes from 1' in message for message in messages) == said
