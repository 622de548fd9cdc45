import cv2
import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import labels, name2label
from mmengine.config import Config
from mmseg.registry import DATASETS

from deepunetto_mm.datasets import CityscapesFineDataset, DataError
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.visualization.label_names import LabelNames

# Official train ids 0..18.
BENCHMARK = (
    'road',
    'sidewalk',
    'building',
    'wall',
    'fence',
    'pole',
    'traffic light',
    'traffic sign',
    'vegetation',
    'terrain',
    'sky',
    'person',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
)
CAR, CAR_GROUP = 26, 26


@pytest.fixture
def tree(cityscapes_tree, tmp_path):
    cityscapes_tree['write_tree'](tmp_path)
    return tmp_path


@pytest.fixture
def cfg(repository, mmseg_scope):
    return Config.fromfile(repository / 'configs/_base_/datasets/cityscapes.py')


def test_the_classes_are_those_of_the_benchmark(tree, cfg):
    meta = CityscapesFineDataset(data_root=str(tree)).metainfo
    taxonomy = Taxonomy.from_dict(meta['taxonomy'])
    assert taxonomy.composed_classes == BENCHMARK
    assert taxonomy.classes == (*BENCHMARK[:11], 'human', 'vehicle')
    assert taxonomy.difference(Taxonomy.from_dict(cfg.taxonomy)) == ''
    names = LabelNames.from_meta(meta)
    assert names.palette[:2] == ((128, 64, 128), (244, 35, 232))
    assert (names.palette[-1], names.fine_palette[2]) == ((0, 0, 142), (0, 0, 142))


def test_colours_and_labels_are_the_official_ones(tree, cfg):
    meta = CityscapesFineDataset(data_root=str(tree)).metainfo
    taxonomy = Taxonomy.from_dict(meta['taxonomy'])
    colours = [*meta['palette'][:11], *meta['fine_palette']]
    assert [tuple(colour) for colour in colours] == [name2label[name].color for name in taxonomy.composed_classes]
    assert [name2label[name].trainId for name in taxonomy.composed_classes] == list(range(19))
    assert cfg.labels == {label.id: label.name for label in labels if not label.ignoreInEval}
    assert sorted(cfg.ignored) == [label.id for label in labels if label.ignoreInEval and label.id >= 0]
    for category, names in cfg.categories.items():
        assert {name2label[name].category for name in names} == {category}
    assert sorted(name for names in cfg.categories.values() for name in names) == sorted(BENCHMARK)


def test_the_download_is_read_as_it_is(tree, cityscapes_tree, cfg):
    cfg.val_dataloader.dataset.data_root = str(tree)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    frames = cityscapes_tree['FRAMES']['val']
    assert [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))] == [
        str(tree / 'leftImg8bit/val' / frame.partition('_')[0] / f'{frame}_leftImg8bit.png') for frame in frames
    ]
    taxonomy = dataset.taxonomy
    for index, frame in enumerate(frames):
        stem = str(tree / 'gtFine/val' / frame.partition('_')[0] / frame)
        label_ids = cv2.imread(f'{stem}_gtFine_labelIds.png', cv2.IMREAD_UNCHANGED)
        instance_ids = cv2.imread(f'{stem}_gtFine_instanceIds.png', cv2.IMREAD_UNCHANGED)
        sample = dataset[index]['data_samples']
        composed, regions = sample.gt_fine_seg.data[0].numpy(), sample.gt_regions
        for value in np.unique(label_ids).tolist():
            expected = BENCHMARK.index(cfg.labels[value]) if value in cfg.labels else 255
            assert np.unique(composed[label_ids == value]).tolist() == [expected]
        # A car, of a group or not, is a vehicle to the segmentation.
        assert np.unique(sample.gt_sem_seg.data[0].numpy()[label_ids == CAR]).tolist() in ([], [12])
        # The regions are the evaluated instances of 100 pixels and more; a group of cars, 26 and not 26003, is none.
        ids, areas = np.unique(instance_ids, return_counts=True)
        objects = ids[(ids >= 1000) & (areas >= 100) & np.isin(ids // 1000, list(cfg.labels))]
        assert len(regions) == len(objects)
        for id_, fine in zip(regions.ids.tolist(), regions.fine_labels.tolist()):
            (instance,) = np.unique(instance_ids[sample.gt_region_map.data[0].numpy() == id_])
            assert instance in objects
            assert taxonomy.fine_classes[fine] == cfg.labels[instance // 1000]
        assert not sample.gt_region_map.data[0].numpy()[instance_ids == CAR_GROUP].any()
    assert len(dataset[len(frames) - 1]['data_samples'].gt_regions) == 0


def test_training_pictures_are_cut_out(tree, cfg):
    cfg.train_dataloader.dataset.data_root = str(tree)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'RandomResize':
            step.scale = (192, 96)
        if step.type == 'RandomCrop':
            step.crop_size = (48, 96)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    packed = dataset[0]
    shape = packed['data_samples'].gt_sem_seg.shape
    assert packed['inputs'].shape[1:] == shape
    assert packed['data_samples'].gt_fine_seg.shape == packed['data_samples'].gt_region_map.shape == shape


def test_the_test_split_has_pictures_alone(tree, cityscapes_tree, cfg):
    dataset = cfg.test_dataloader.dataset
    dataset.data_root, dataset.data_prefix = str(tree), dict(img_path='leftImg8bit/test')
    dataset = DATASETS.build(dataset)
    assert len(dataset) == len(cityscapes_tree['FRAMES']['test'])
    packed = dataset[2]
    assert packed['inputs'].shape == (3, 96, 192)
    assert packed['inputs'].dtype == torch.uint8
    assert not {'gt_sem_seg', 'gt_fine_seg', 'gt_regions', 'gt_region_map'} & set(packed['data_samples'].keys())


def test_another_taxonomy_replaces_the_own(tree, cfg):
    """All 19 classes segmented, the name of an object still its own."""
    taxonomy = dict(
        classes=list(BENCHMARK),
        groups=[dict(name='human', members=BENCHMARK[11:13], fine_classes=BENCHMARK[11:13])],
    )
    cfg.val_dataloader.dataset.update(data_root=str(tree), metainfo=dict(taxonomy=taxonomy))
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    assert dataset.metainfo['classes'] == BENCHMARK
    assert dataset.metainfo['palette'][-1] == [119, 11, 32]
    assert len(dataset.metainfo['fine_palette']) == 2
    strange = dict(classes=['road', 'tree'], groups=[])
    assert len(CityscapesFineDataset(data_root=str(tree), metainfo=dict(taxonomy=strange)).metainfo['palette']) == 2


def test_a_missing_file_is_named(tree):
    missing = tree / 'gtFine/train/bochum/bochum_000000_000313_gtFine_instanceIds.png'
    missing.unlink()
    with pytest.raises(DataError, match=f'{missing}: no such file, the region map of picture .*1 of 4 pictures'):
        CityscapesFineDataset(data_root=str(tree))


@pytest.mark.parametrize('option', [dict(reduce_zero_label=True), dict(split='train'), dict(mask_files=False)], ids=str)
def test_options_that_the_official_files_decide_are_refused(option):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{next(iter(option))}'"):
        CityscapesFineDataset(**option)
