"""Every config that is shipped can be built and trained for a step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import DATASETS, METRICS, MODELS
from mmseg.structures import SegDataSample

from deepunetto_mm.apis.runtime import load_config
from deepunetto_mm.ops import SIGNALS, unet2015_input_size
from deepunetto_mm.structures import Taxonomy

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

pytestmark = pytest.mark.usefixtures('mmseg_scope')
each_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def _load(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmseg'
    # Weights from elsewhere: the network may be absent where tests run.
    for part in ('backbone', 'fine_backbone'):
        if cfg.model.get(part):
            cfg.model[part].pop('init_cfg', None)
    return cfg


def _taxonomy(cfg):
    # mmseg's own segmentors have none.
    return Taxonomy.from_dict(cfg.model.get('taxonomy') or cfg.taxonomy)


def _is_unpadded(cfg):
    return cfg.model.decode_head.type == 'deepunetto_mm.UNet2015Head'


def _narrowed(cfg, channels=(4, 8, 16, 32, 64)):
    """The unpadded U-Net, of which a step on a tile of the paper's takes minutes, thinner and as deep."""
    if _is_unpadded(cfg):
        depth = len(cfg.model.decode_head.get('in_channels', channels))
        cfg.model.backbone.backbone.channels = cfg.model.decode_head.in_channels = channels[:depth]
    return cfg


def _random_sample(taxonomy, height, width):
    """A picture with one region of each group, as the training pipeline packs it."""
    sem_seg, region_map = np.zeros((height, width), np.int64), np.zeros((height, width), np.int64)
    regions = dict(ids=[], labels=[], fine_labels=[], bboxes=[])
    step = width // max(1, len(taxonomy.groups))
    for index, group in enumerate(taxonomy.groups):
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
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(sem_seg)[None])
    sample.gt_region_map = PixelData(data=torch.from_numpy(region_map)[None])
    sample.gt_regions = InstanceData(
        bboxes=torch.tensor(regions.pop('bboxes')).float().reshape(-1, 4),
        **{name: torch.tensor(values, dtype=torch.int64) for name, values in regions.items()},
    )
    return dict(inputs=torch.randint(0, 256, (3, height, width), dtype=torch.uint8), data_samples=sample)


def _assert_learns(model, samples):
    """One step: the loss is finite, and every parameter that wants a gradient gets one."""
    batch = dict(inputs=[x['inputs'] for x in samples], data_samples=[x['data_samples'] for x in samples])
    model.train()
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    loss, _ = model.parse_losses(losses)
    assert torch.isfinite(loss)
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    broken = [name for name, p in model.named_parameters() if p.requires_grad and not torch.isfinite(p.grad).all()]
    assert not broken


def test_configs_are_found():
    names = {path.stem for path in CONFIGS}
    shapes = {'deepunetto_shapes', 'deepunetto_shapes_luminance-cones', 'deepunetto_shapes_rgb-rods'}
    cityscapes = {'deepunetto_cityscapes', 'deepunetto_cityscapes_19cls', 'deepunetto_cityscapes_unet-s5-d16'}
    wbc = {'deepunetto_wbc', 'deepunetto_wbc_rgb-rods'}
    wbc |= {'deepunetto_wbc_scratch', 'deepunetto_wbc_scratch_luminance-cones'}
    isbi2012 = {'unet2015_isbi2012', 'unet_isbi2012', 'unet_tutorial'}
    assert {'deepunetto_camvid', 'unet_camvid', 'unet2015_shapes'} | wbc | shapes | cityscapes | isbi2012 <= names


@each_config
def test_trains_a_step_on_random_pictures(path):
    cfg = _load(path)
    # Multiples of 16, for mmseg's UNet; or the smallest that an unpadded one takes.
    size = (unet2015_input_size(1), unet2015_input_size(20)) if _is_unpadded(cfg) else (64, 80)
    samples = [_random_sample(_taxonomy(cfg), *size) for _ in range(2)]
    if 'size' in cfg.model.data_preprocessor:
        # Not padded to the training crop: a step on 512x1024 takes minutes.
        cfg.model.data_preprocessor.size = samples[0]['inputs'].shape[1:]
    model = MODELS.build(cfg.model)
    model.init_weights()
    _assert_learns(model, samples)


@each_config
def test_parts_agree(path):
    cfg = _load(path)
    for split in ('train', 'val', 'test'):
        assert cfg.get(f'{split}_dataloader') is not None
        assert cfg.get(f'{split}_cfg') is not None
    for evaluator in cfg.test_evaluator:
        METRICS.build(evaluator)
    if 'tta_model' in cfg:
        assert cfg.tta_pipeline
        MODELS.build({**cfg.tta_model, 'module': cfg.model})


@each_config
def test_trains_a_step_on_its_data(path, request):
    cfg = _narrowed(_load(path))
    datasets = [cfg[name].dataset for name in LOADERS]
    for dataset in datasets:
        if dataset.get('data_root'):
            # Only configs over files need the real data; the others draw theirs.
            folder = request.getfixturevalue('real_data') / Path(dataset.data_root).name
            if not folder.is_dir():
                pytest.skip(f'no {folder.name} in the real data')
            dataset.data_root = str(folder)
    model = MODELS.build(cfg.model)
    train, val, test = (DATASETS.build(dataset) for dataset in datasets)
    for dataset in (train, val, test):
        # '' is no difference.
        assert Taxonomy.from_dict(dataset.metainfo['taxonomy']).difference(_taxonomy(cfg)) == ''
    _assert_learns(model, [train[0], train[1]])
    model.eval()
    with torch.no_grad():
        (predicted,) = model.test_step(dict(inputs=[val[0]['inputs']], data_samples=[val[0]['data_samples']]))
    assert predicted.pred_sem_seg.data.shape == predicted.gt_sem_seg.data.shape
    if cfg.model.get('region_proposer'):
        regions = predicted.pred_regions
        assert regions.fine_scores.shape == (len(regions), len(model.taxonomy.fine_classes))


@pytest.mark.parametrize('name', ['shapes', 'wbc'])
def test_rods_that_see_colour_differ_in_their_input_alone(name):
    luminance, colour = (Config.fromfile(ROOT / f'configs/deepunetto_{name}{kind}.py') for kind in ('', '_rgb-rods'))
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
