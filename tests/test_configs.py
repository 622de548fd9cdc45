"""Every config that is shipped can be built and trained for a step."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import DATASETS, METRICS, MODELS
from mmseg.structures import SegDataSample

from deepunetto_mm.cli.runtime import load_config
from deepunetto_mm.ops import SIGNALS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.threshold_masks.labelled_pictures import read_classes
from deepunetto_mm.unet2015.sizes import unet2015_input_size
from deepunetto_mm.utils.config_parts import dataset_parts

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def _parameters():
    """By config, what the model index says."""
    files = (ROOT / 'configs/metafiles').glob('*.yml')
    models = [model for file in files for model in yaml.safe_load(file.read_text())['Models']]
    return {model['Name']: model['Metadata']['Parameters'] for model in models if 'Parameters' in model['Metadata']}


PARAMETERS = _parameters()


def _load(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmseg'
    # Weights from elsewhere: the network may be absent where tests run.
    for part in ('backbone', 'fine_backbone'):
        own = cfg.model.get(part)
        while isinstance(own, dict):  # a backbone may wrap another one, or be 'shared'
            own.pop('init_cfg', None)
            own = own.get('backbone')
    return cfg


def _taxonomy(cfg):
    # mmseg's own segmentors have none.
    return Taxonomy.from_dict(cfg.model.get('taxonomy') or cfg.taxonomy)


def _is_unpadded(cfg):
    return cfg.model.get('decode_head', {}).get('type') == 'deepunetto_mm.UNet2015Head'


def _narrowed(cfg, channels=(4, 8, 16, 32, 64)):
    """The unpadded U-Net, of which a step on a tile of the paper's takes minutes, thinner and as deep."""
    if _is_unpadded(cfg):
        depth = len(cfg.model.decode_head.get('in_channels', channels))
        cfg.model.backbone.backbone.channels = cfg.model.decode_head.in_channels = channels[:depth]
    return cfg


def _random_sample(taxonomy, height, width):
    """A picture with a region of each group, or of the first 16, and a name, as the training pipelines pack it."""
    sem_seg, region_map = np.zeros((height, width), np.int64), np.zeros((height, width), np.int64)
    regions = dict(ids=[], labels=[], fine_labels=[], bboxes=[])
    groups = taxonomy.groups[:16]
    step = width // max(1, len(groups))
    for index, group in enumerate(groups):
        x1, x2 = index * step + 1, (index + 1) * step - 1
        # The members of a group lie one on top of the other.
        for k, rows in enumerate(np.array_split(np.arange(8, height - 8), len(group.members))):
            sem_seg[rows, x1:x2] = taxonomy.classes.index(group.members[k])
        region_map[8 : height - 8, x1:x2] = index + 1
        regions['ids'].append(index + 1)
        regions['labels'].append(index)
        regions['fine_labels'].append(taxonomy.children(index)[-1])
        regions['bboxes'].append([x1, 8, x2, height - 8])
    sample = SegDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(height, width), img_path='random.png'))
    sample.set_data(dict(gt_label=torch.tensor([0]), gt_centre_map=PixelData(data=torch.zeros(3, height, width))))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(sem_seg)[None])
    sample.gt_region_map = PixelData(data=torch.from_numpy(region_map)[None])
    sample.gt_regions = InstanceData(
        bboxes=torch.tensor(regions.pop('bboxes')).float().reshape(-1, 4),
        **{name: torch.tensor(values, dtype=torch.int64) for name, values in regions.items()},
    )
    return dict(inputs=torch.randint(0, 256, (3, height, width), dtype=torch.uint8), data_samples=sample)


@pytest.fixture(scope='module', params=CONFIGS, ids=lambda path: path.stem)
def shipped(request, isolated):
    """Each config, and its network as it starts, which the tests of that config share."""
    with isolated():
        init_default_scope('mmseg')
        cfg = _narrowed(_load(request.param))
        model = MODELS.build(cfg.model)
        model.init_weights()
    return SimpleNamespace(cfg=cfg, model=model, name=request.param.stem)


def _assert_learns(model, samples):
    """One step: the loss is finite, and every parameter that wants a gradient gets one."""
    batch = dict(inputs=[x['inputs'] for x in samples], data_samples=[x['data_samples'] for x in samples])
    model.train()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    assert torch.isfinite(loss)
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    # A sum is finite if every value is.
    broken = [name for name, p in model.named_parameters() if p.requires_grad and not p.grad.sum().isfinite()]
    assert not broken


def _scores(model, dataset, cfg):
    """Figures of a validation."""
    evaluator = Evaluator(cfg.val_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    model.eval()
    for item in dataset:
        with torch.no_grad():
            evaluator.process(model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']])))
    return evaluator.evaluate(len(dataset))


def test_configs_are_found():
    names = {path.stem for path in CONFIGS}
    shapes = {'deepunetto_shapes', 'deepunetto_shapes_luminance-cones', 'deepunetto_shapes_rgb-rods'}
    cityscapes = {'deepunetto_cityscapes', 'deepunetto_cityscapes_19cls', 'deepunetto_cityscapes_unet-s5-d16'}
    wbc = {'deepunetto_wbc', 'deepunetto_wbc_one-laboratory', 'deepunetto_wbc_rgb-rods'}
    wbc |= {'deepunetto_wbc_scratch', 'deepunetto_wbc_scratch_luminance-cones'}
    isbi2012 = {'unet2015_isbi2012', 'unet2015_isbi2012_adamw', 'unet_isbi2012', 'unet_tutorial'}
    others = {
        'deepunetto_coco',
        'deepunetto_camvid',
        'unet_camvid',
        'deepunetto_ccp',
        'deepunetto_ccp_maps',
        'deepunetto_ccp_two-encoders',
        'unet_ccp',
        'deepunetto_nuclei',
        'deepunetto_nuclei_borders',
        'unet2015_shapes',
        'deepunetto_grocery',
        'classifier_grocery',
    }
    assert others | wbc | shapes | cityscapes | isbi2012 <= names


def test_trains_a_step_on_random_pictures(shipped, monkeypatch):
    cfg, model = shipped.cfg, shipped.model
    # Multiples of 16, for mmseg's UNet; or the smallest that an unpadded one takes.
    size = (unet2015_input_size(1), unet2015_input_size(20)) if _is_unpadded(cfg) else (64, 80)
    if 'size' in cfg.model.data_preprocessor:
        # Not padded to the training crop: a step on 512x1024 takes minutes.
        monkeypatch.setattr(model.data_preprocessor, 'size', size)
    if not _is_unpadded(cfg):
        counted = f'{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M'
        assert PARAMETERS.get(shipped.name, counted) == counted
    model.load_state_dict(model.state_dict())  # what it saves it loads, strictly
    _assert_learns(model, [_random_sample(_taxonomy(cfg), *size) for _ in range(2)])


def test_parts_agree(shipped):
    cfg = shipped.cfg
    for split in ('train', 'val', 'test'):
        assert cfg.get(f'{split}_dataloader') is not None
        assert cfg.get(f'{split}_cfg') is not None
    for evaluator in cfg.test_evaluator:
        METRICS.build(evaluator)
    if 'tta_model' in cfg:
        assert cfg.tta_pipeline
        MODELS.build({**cfg.tta_model, 'module': shipped.model})


def test_trains_a_step_on_its_data(shipped, request):
    cfg, model = shipped.cfg, shipped.model
    datasets = [cfg[name].dataset for name in LOADERS]
    for dataset in dataset_parts(dict(datasets=datasets)):
        if dataset.get('data_root'):
            # Only configs over files need the real data; the others draw theirs.
            folder = request.getfixturevalue('real_data') / Path(dataset.data_root).name
            if not folder.is_dir():
                pytest.skip(f'no {folder.name} in the real data')
            dataset.data_root = str(folder)
    train, val, test = (DATASETS.build(dataset) for dataset in datasets)
    for dataset in (train, val, test):
        # '' is no difference.
        assert Taxonomy.from_dict(dataset.metainfo['taxonomy']).difference(_taxonomy(cfg)) == ''
    model.zero_grad()
    _assert_learns(model, [train[0], train[1]])
    model.eval()
    with torch.no_grad():
        (predicted,) = model.test_step(dict(inputs=[val[0]['inputs']], data_samples=[val[0]['data_samples']]))
    assert predicted.pred_sem_seg.data.shape == predicted.gt_sem_seg.data.shape
    if cfg.model.get('region_proposer'):
        regions = predicted.pred_regions
        assert regions.fine_scores.shape == (len(regions), len(model.taxonomy.fine_classes))


def test_nuclei_of_stained_tissue_are_drawn_twice_as_often(real_data):
    every, again = Config.fromfile(ROOT / 'configs/deepunetto_nuclei.py').train_dataloader.dataset.datasets
    pictures = sorted((real_data / 'dsb2018/images/train').glob('*.jpg'))
    if not pictures:
        pytest.skip('no dsb2018 in the real data')
    bright = [np.median(cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_8)) >= 100 for path in pictures]
    assert list(again.pop('indices')) == np.flatnonzero(bright).tolist()
    assert again == every


@pytest.mark.parametrize('names', [('shapes', 'shapes_rgb-rods'), ('wbc_one-laboratory', 'wbc_rgb-rods')])
def test_rods_that_see_colour_differ_in_their_input_alone(names):
    luminance, colour = (Config.fromfile(ROOT / f'configs/deepunetto_{name}.py') for name in names)
    assert colour.model.pop('backbone') == dict(luminance.model.pop('backbone').backbone, in_channels=3)
    assert colour.to_dict() == luminance.to_dict()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('signal', [*SIGNALS, 'learned'])
def test_what_the_rods_see_is_an_option(signal, channels):
    options = {
        'model.backbone.signal': signal,
        'model.backbone.channels': channels,
        'model.backbone.backbone.in_channels': channels,
    }
    cfg = load_config(str(ROOT / 'configs/deepunetto_shapes.py'), options)
    cfg.model.data_preprocessor.size = (64, 80)
    model = MODELS.build(cfg.model)
    assert (model.backbone.signal, model.backbone.channels) == (signal, channels)
    _assert_learns(model, [_random_sample(_taxonomy(cfg), 64, 80) for _ in range(2)])


COCO = ROOT / 'configs/deepunetto_coco.py'
GROCERY = [ROOT / 'configs' / f'{name}_grocery.py' for name in ('deepunetto', 'classifier')]


@pytest.fixture
def grocery_masks(in_process, tmp_path, monkeypatch):
    """What the tool writes of four pictures: a bright disk each, of a banana or a kiwi."""
    taxonomy = _taxonomy(_load(GROCERY[0]))
    rows = [(name, k, g) for k, (name, g) in enumerate(zip(taxonomy.fine_classes, taxonomy.group_of_fine))]
    classes = ''.join(f'{name},{k},{taxonomy.groups[g].name},{g}\n' for name, k, g in rows)
    (tmp_path / 'classes.csv').write_text('fine,fine_id,coarse,coarse_id\n' + classes)
    tool = in_process('tools/dataset_converters/threshold_masks.py')
    monkeypatch.chdir(tmp_path)
    for split in ('train', 'val'):
        table = 'image,fine_id,coarse_id\n'
        for name, label, size in (('banana', 6, (224, 224)), ('kiwi', 7, (299, 224))):
            picture = np.full((*size, 3), 20, np.uint8)
            cv2.circle(picture, (112, 112), 80, (60, 160, 200), -1)
            file = tmp_path / 'images' / split / f'{name}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), picture)
            table += f'{split}/{name}.jpg,{label},{taxonomy.group_of_fine[label]}\n'
        (tmp_path / f'{split}.csv').write_text(table)
        options = f'images --table {split}.csv --classes classes.csv --split {split} --out-dir grocery_masks'
        tool(*options.split())
    return tmp_path / 'grocery_masks'


@pytest.mark.parametrize('path', GROCERY, ids=lambda path: path.stem)
def test_groceries_are_learnt_and_scored_from_what_the_tool_writes(path, grocery_masks):
    cfg = _load(path)
    for name in LOADERS:
        cfg[name].dataset.data_root = str(grocery_masks)
    train, val = (DATASETS.build(cfg[name].dataset) for name in LOADERS[:2])
    # The taxonomy is that of the table of classes, which the labels are numbered by.
    assert _taxonomy(cfg).difference(read_classes('classes.csv')[0]) == ''
    assert [sample['data_samples'].gt_label.item() for sample in (*train, *val)] == [6, 7, 6, 7]
    assert {sample['inputs'].shape for sample in train} == {(3, 160, 160)}
    assert {sample['inputs'].shape for sample in val} == {(3, 224, 224), (3, 299, 224)}
    model = MODELS.build(cfg.model)
    _assert_learns(model, [train[0], train[1]])
    scores = _scores(model, val, cfg)
    assert set(scores) == {'picture/fine', 'picture/generic', 'picture/mistake_height'}
    assert {scores['picture/fine'], scores['picture/generic']} <= {0, 50, 100}


def test_the_masks_of_groceries_are_regions_of_their_kind(grocery_masks):
    cfg = _load(GROCERY[0])
    cfg.train_dataloader.dataset.data_root = str(grocery_masks)
    for sample, (fine, kind) in zip(DATASETS.build(cfg.train_dataloader.dataset), [(6, 2), (7, 3)]):
        regions = sample['data_samples'].gt_regions
        assert (regions.fine_labels.tolist(), regions.labels.tolist()) == ([fine], [kind])
        assert sample['data_samples'].gt_sem_seg.data.unique().tolist() == [0, kind + 1]


def test_the_taxonomy_of_groceries_is_that_of_the_data(real_data):
    table = real_data / 'grocery' / 'classes.csv'
    if not table.is_file():
        pytest.skip('no groceries in the real data')
    assert _taxonomy(_load(GROCERY[0])).difference(read_classes(str(table))[0]) == ''


def test_the_taxonomy_of_clothes_is_that_of_the_data(real_data):
    table = real_data / 'ccp' / 'classes.json'
    if not table.is_file():
        pytest.skip('no clothes in the real data')
    of_data = json.loads(table.read_text())
    kinds, names = (Config.fromfile(ROOT / f'configs/{name}_ccp.py') for name in ('deepunetto', 'unet'))
    groups = {group.name: list(group.fine_classes) for group in _taxonomy(kinds).groups}
    assert groups == of_data['kinds']
    assert list(_taxonomy(names).classes) == list(_taxonomy(names).composed_classes) == of_data['composed']
    assert kinds.labels == names.labels == of_data['composed']


@pytest.fixture
def coco(tmp_path):
    """Two pictures of each split in COCO's layout: a bus before a cat, and nothing at all."""
    taxonomy = _taxonomy(_load(COCO))
    # Numbers with gaps, as COCO's; the order is its own.
    categories = [
        dict(id=3 * k + 1, name=name, supercategory=taxonomy.groups[g].name)
        for k, (name, g) in enumerate(zip(taxonomy.fine_classes, taxonomy.group_of_fine))
    ]
    ids = {category['name']: category['id'] for category in categories}
    images = [dict(id=i, file_name=f'{i:012d}.jpg', height=120, width=160) for i in (9, 25)]
    annotations = [
        dict(id=1, image_id=9, category_id=ids['cat'], iscrowd=0, segmentation=[[10, 10, 150, 10, 150, 110, 10, 110]]),
        dict(id=2, image_id=9, category_id=ids['bus'], iscrowd=0, segmentation=[[80, 40, 120, 40, 120, 80, 80, 80]]),
    ]
    content = json.dumps(dict(images=images, annotations=annotations, categories=categories))
    for split in ('train2017', 'val2017'):
        for folder in ('annotations', split):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / 'annotations' / f'instances_{split}.json').write_text(content)
        for image in images:
            cv2.imwrite(str(tmp_path / split / image['file_name']), np.full((120, 160, 3), 90, np.uint8))
    return tmp_path


def test_coco_is_learnt_and_scored_as_mmdetection_lays_it_out(coco):
    # Small crops, and pictures that are padded nonetheless.
    small = {'train_dataloader.dataset.pipeline.3.crop_size': (128, 128), 'model.data_preprocessor.size': (160, 160)}
    cfg = load_config(str(COCO), dict(small, data_root=str(coco)))
    for part in ('backbone', 'fine_backbone'):
        cfg.model[part].pop('init_cfg')
    train, val = (DATASETS.build(cfg[name].dataset) for name in LOADERS[:2])
    # The taxonomy is what the dataset makes of the categories by itself.
    cfg.val_dataloader.dataset.pop('metainfo')
    assert DATASETS.build(cfg.val_dataloader.dataset).taxonomy.difference(_taxonomy(cfg)) == ''
    fine_classes = val.taxonomy.fine_classes
    assert [fine_classes[k] for k in val[0]['data_samples'].gt_regions.fine_labels.tolist()] == ['cat', 'bus']
    model = MODELS.build(cfg.model)
    _assert_learns(model, [train[0], train[1]])
    assert 0 <= _scores(model, val, cfg)['coco/AP'] <= 100
