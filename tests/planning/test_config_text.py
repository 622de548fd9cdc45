from dataclasses import replace

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.planning.budget import fit_to_steps, in_bfloat16
from deepunetto_mm.planning.config_text import checkpoint_interval, config_text, fold_text
from deepunetto_mm.planning.decisions import decide
from deepunetto_mm.planning.fingerprint import Fingerprint, Machine
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.shipped_configs import read_config

# 20 names of tops, on photographs of 275 x 415 pixels.
TOPS = Fingerprint(
    40,
    (275, 415),
    [(275, 415), (275, 415)],
    True,
    8,
    0,
    255,
    classes=dict(background=0.75, top=0.25),
    regions=90,
    area=[60, 80, 900, 9000, 9900],
    side=[9, 10, 30, 100, 120],
)
MACHINE = Machine(cores=2, memory=16, gpu='', gpu_memory=0, torch='2')


@pytest.fixture
def planned(tmp_path):
    def planned(data, luminance=False, **options):
        names = [f'name {index}' for index in range(20)]
        group = dict(name='top', members=['top'], fine_classes=names)
        taxonomy = Taxonomy.from_dict(dict(classes=['background', 'top'], groups=[group]))
        chosen = fit_to_steps(decide(data, MACHINE, taxonomy, 40, 'efficientnet-lite0', luminance), 1000)
        chosen = in_bfloat16(chosen, 'quicker')
        dataset = WrittenDataset(tmp_path, taxonomy, '.png')
        text = config_text('Tops.', dataset, data, chosen, 7, 3, 'they fit', 5, **options)
        (tmp_path / 'mine.py').write_text(text)
        return read_config(tmp_path / 'mine.py')

    return planned


def test_many_names_of_regions_that_are_cut_in_bfloat16(planned):
    cfg = planned(TOPS)
    cut = dict(type='deepunetto_mm.DistanceWatershed', neck_ratio=0.5)
    assert cfg.model.region_proposer.splitter == cut
    assert cfg.model.region_proposer.min_area == 60
    assert cfg.model.region_names == 'names.logits'
    assert cfg.default_hooks.bfloat16 == dict(type='deepunetto_mm.BFloat16Hook')
    assert cfg.default_hooks.channels_last.type == 'deepunetto_mm.ChannelsLastHook'


def test_many_names_of_regions_that_touch_are_as_in_the_config_of_clothes(planned, repository):
    clothes = Config.fromfile(repository / 'configs/deepunetto_ccp.py')
    cfg = planned(replace(TOPS, neighbours=0.6))
    assert cfg.model.region_proposer == dict(clothes.model.region_proposer, min_area=60)
    for part in ('backbone', 'dense_heads', 'region_names', 'fine_backbone', 'train_cfg'):
        assert cfg.model[part] == clothes.model[part], part
    assert cfg.model.fine_head == clothes.model.fine_head
    assert cfg.optim_wrapper.paramwise_cfg == clothes.optim_wrapper.paramwise_cfg
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(cfg.model, backbone=dict(cfg.model.backbone, init_cfg=None)))
    assert model.fine_branch.fine_backbone.timm_model.conv_stem.weight is model.backbone.timm_model.conv_stem.weight


def test_borders_of_pictures_that_the_network_sees_smaller(planned):
    sizes = dict(size=(1100, 1660), sizes=[(1100, 1660)] * 2, area=[16 * area for area in TOPS.area])
    large = replace(TOPS, neighbours=0.6, **sizes)
    cfg = planned(large)
    scale = cfg.test_dataloader.dataset.pipeline[1].scale_factor
    assert scale == 0.25
    assert cfg.model.region_proposer.min_seed == 160  # 10 pixels of the network


def test_crops_of_colours_do_not_share_an_encoder_that_sees_luminance(planned):
    cfg = planned(replace(TOPS, neighbours=0.6), luminance=True)
    assert cfg.model.backbone.type == 'deepunetto_mm.LuminanceBackbone'
    assert cfg.model.fine_backbone.type == 'mmpretrain.TIMMBackbone'
    assert cfg.model.region_proposer.across_groups
    assert 'bypass_duplicate' not in cfg.optim_wrapper.paramwise_cfg
    with DefaultScope.overwrite_default_scope('mmseg'):
        MODELS.build(cfg.model)


def test_pictures_of_the_test_are_tested_and_not_those_of_a_fold(planned, tmp_path):
    cfg = planned(TOPS)
    assert cfg.test_dataloader == cfg.val_dataloader
    cfg = planned(TOPS, with_test=True)
    assert cfg.val_dataloader.dataset.ann_file == 'val.txt'
    assert cfg.test_dataloader == dict(
        cfg.val_dataloader, dataset=dict(cfg.val_dataloader.dataset, ann_file='test.txt')
    )
    (tmp_path / 'fold.py').write_text(fold_text('mine', 2, 5))
    fold = read_config(tmp_path / 'fold.py')
    assert fold.test_dataloader == fold.val_dataloader
    assert fold.test_dataloader.dataset.ann_file == 'val_fold2.txt'


def test_checkpoints_are_ten_at_most_and_do_not_wait_for_validations(planned):
    assert [checkpoint_interval(epochs) for epochs in (1, 10, 11, 20, 21, 4000)] == [1, 1, 2, 2, 3, 400]
    cfg = planned(TOPS)  # of 7 epochs, validated every third
    assert (cfg.default_hooks.checkpoint.interval, cfg.train_cfg.val_interval) == (1, 3)
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 2


def test_a_fold_is_the_plan_with_other_pictures(tmp_path):
    loaders = [
        'train_dataloader = dict(batch_size=4)',
        'val_dataloader = dict(batch_size=1)',
        'test_dataloader = val_dataloader',
    ]
    (tmp_path / 'mine.py').write_text('\n'.join(loaders))
    (tmp_path / 'fold.py').write_text(fold_text('mine', 2, 5))
    cfg = Config.fromfile(tmp_path / 'fold.py')
    assert cfg.train_dataloader == dict(batch_size=4, dataset=dict(ann_file='train_fold2.txt'))
    assert cfg.val_dataloader == cfg.test_dataloader == dict(batch_size=1, dataset=dict(ann_file='val_fold2.txt'))
