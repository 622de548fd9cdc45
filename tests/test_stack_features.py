"""docs/stack_features.md: what mmengine and mmsegmentation offer does to a DeepUNetto what the page says.

The lines of config are read from the page, and laid over a tiny network.
"""

import copy
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import Runner, turn_on_activation_checkpointing
from mmengine.runner.amp import autocast
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, HOOKS, MODELS, VISUALIZERS
from mmseg.structures import SegDataSample
from torch.distributed import destroy_process_group, init_process_group

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def lines(repository):
    """``lines(word)``: the settings of the one example on the page that has the word."""
    page = (repository / 'docs' / 'stack_features.md').read_text(encoding='utf-8')
    examples = re.findall(r'```python\n(.*?)```', page, re.DOTALL)

    def read(word):
        (example,) = [example for example in examples if word in example]
        settings = {}
        exec(example, {}, settings)
        return settings

    return read


@pytest.fixture
def cfg(repository, tmp_path):
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].persistent_workers = False
    cfg.update(work_dir=str(tmp_path / 'run'), log_level='ERROR')
    return cfg


@pytest.fixture
def make_runner(cfg, monkeypatch):
    # Laying the config out would take longer than the steps.
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: ''))

    def make(**options):
        cfg.merge_from_dict(options)
        cfg.experiment_name = f'run_{make.number}'  # runs of one name share what mmengine notes
        make.number += 1
        return Runner.from_cfg(copy.deepcopy(cfg))

    make.number = 0
    return make


@pytest.fixture
def batch(cfg):
    """``batch(numbers)``: scenes with the first so many of their regions."""
    dataset = DATASETS.build(cfg.train_dataloader.dataset)

    def collate(*numbers):
        data = pseudo_collate([dataset[i] for i in range(len(numbers))])
        for sample, number in zip(data['data_samples'], numbers):
            assert len(sample.gt_regions) >= number
            sample.gt_regions = sample.gt_regions[:number]
        return data

    return collate


def _build(cfg, **settings):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(settings)
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(get_device())


def _losses(model, data):
    torch.manual_seed(1)  # boxes are jittered
    model.zero_grad()
    return model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')


def _learn(model, data):
    """Losses; their gradients are in the model then."""
    losses = _losses(model, data)
    model.parse_losses(losses)[0].backward()
    return losses


def _learn_and_count(model, data):
    """Losses, and bytes that were kept for the gradients."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = _losses(model, data)
    model.parse_losses(losses)[0].backward()
    return losses, sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _assert_same_gradients(model, expected, rtol=1e-4, atol=1e-6):
    for (name, parameter), other in zip(model.named_parameters(), expected.parameters()):
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, other.grad, rtol=rtol, atol=atol)


class Watch(Hook):
    """Notes the weights: after each step, in validation, and after it."""

    priority = 'LOWEST'

    def __init__(self):
        self.steps, self.in_validation, self.after_validation = [], None, None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(_copied(runner.model.named_parameters()))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.in_validation = _copied(runner.model.named_parameters())

    def after_val_epoch(self, runner, metrics=None):
        self.after_validation = _copied(runner.model.named_parameters())


def _copied(named):
    return {name: tensor.detach().cpu().clone() for name, tensor in named}


def test_weights_of_both_branches_are_averaged(make_runner, lines, tmp_path):
    settings = lines('EMAHook')
    ema = settings['custom_hooks'][0]
    ema['momentum'] = 0.25
    options = dict(**settings, train_cfg=dict(max_iters=3, val_interval=3))
    options['default_hooks'] = dict(checkpoint=dict(type='deepunetto_mm.AtomicCheckpointHook', interval=3))
    runner, watch = make_runner(**options), Watch()
    runner.register_hook(watch)
    runner.train()
    first, second, third = watch.steps
    mean = {name: 0.75 * (0.75 * first[name] + 0.25 * second[name]) + 0.25 * third[name] for name in first}
    assert {name.removeprefix('fine_branch.').partition('.')[0] for name in mean} == {
        'backbone',
        'decode_head',
        'fine_backbone',
        'fine_head',
    }
    assert (mean['fine_branch.fine_head.fc.weight'] - third['fine_branch.fine_head.fc.weight']).abs().max() > 1e-4
    torch.testing.assert_close(watch.in_validation, mean)
    torch.testing.assert_close(watch.after_validation, third)
    checkpoint = torch.load(tmp_path / 'run' / 'iter_3.pth', weights_only=False, map_location='cpu')
    trained = {name.removeprefix('module.'): value for name, value in checkpoint['ema_state_dict'].items()}
    buffers = _copied(runner.model.named_buffers())
    for name, value in checkpoint['state_dict'].items():
        torch.testing.assert_close(value, mean[name] if name in mean else buffers[name])
        torch.testing.assert_close(trained[name], third[name] if name in third else buffers[name])

    resumed = make_runner(resume=True)  # with no step left
    resumed.train()
    (hook,) = [hook for hook in resumed.hooks if isinstance(hook, EMAHook)]
    torch.testing.assert_close(_copied(resumed.model.named_parameters()), third)
    torch.testing.assert_close(_copied(hook.ema_model.module.named_parameters()), mean)


def test_stops_early_and_keeps_the_best(make_runner, lines, tmp_path):
    settings = lines('EarlyStoppingHook')
    settings['custom_hooks'][0]['patience'] = 2
    options = dict(**settings, train_cfg=dict(max_iters=9, val_interval=1))
    runner = make_runner(**options, optim_wrapper=dict(optimizer=dict(lr=0.0)), model=_without_statistics())
    runner.train()
    assert runner.iter == 3  # the figure of the first validation was not surpassed by two more
    assert (tmp_path / 'run' / 'best_fine_recognition_iter_1.pth').is_file()
    del settings['custom_hooks'][0]['rule']
    with pytest.raises(ValueError, match='Cannot infer the rule for fine/recognition'):
        make_runner(custom_hooks=settings['custom_hooks'])


def _without_statistics():
    """GroupNorm, so that a network that learns nothing predicts the same after every step."""
    norm = dict(type='GN', num_groups=2)
    return dict(backbone=dict(backbone=dict(norm_cfg=norm)), decode_head=dict(norm_cfg=norm))


@pytest.mark.parametrize('visualizer', ['SegLocalVisualizer', 'deepunetto_mm.RegionVisualizer'])
def test_mmsegs_hook_draws(cfg, lines, tmp_path, visualizer):
    settings = lines('SegVisualizationHook')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    data = pseudo_collate([dataset[0]])
    with torch.no_grad():
        (sample,) = _build(cfg).eval().test_step(data)
    path = str(tmp_path / 'scene.png')
    cv2.imwrite(path, data['inputs'][0].permute(1, 2, 0).numpy())
    sample.set_metainfo(dict(img_path=path))
    sample = sample.cpu()
    only_segmentation = SegDataSample(metainfo=sample.metainfo)
    only_segmentation.pred_sem_seg = PixelData(data=sample.pred_sem_seg.data)
    drawn = []
    for predicted in (sample, only_segmentation):
        for field in ('gt_sem_seg', 'gt_regions', 'gt_region_map'):
            predicted.pop(field, None)
        folder = tmp_path / str(len(drawn))
        options = dict(copy.deepcopy(settings['visualizer']), type=visualizer, save_dir=str(folder), name=folder.name)
        visualizer_ = VISUALIZERS.build(options)
        visualizer_.dataset_meta = dataset.metainfo
        hook = HOOKS.build(settings['default_hooks']['visualization'])
        hook._visualizer = visualizer_  # it takes the Runner's
        hook.after_test_iter(SimpleNamespace(iter=0), 0, data, [predicted])
        (file,) = folder.rglob('*.png')
        drawn.append(cv2.imread(str(file)))
    # mmseg's draws what it would of any segmentor; ours the regions as well.
    assert np.array_equal(*drawn) == (visualizer == 'SegLocalVisualizer')


CONVNEXT = dict(
    type='mmpretrain.ConvNeXt',
    arch=dict(depths=[1, 1, 3, 1], channels=[8, 16, 32, 64]),
    out_indices=(0, 1, 2, 3),
    gap_before_final_norm=False,
)


@pytest.fixture
def convnext(cfg):
    """A DeepUNetto over two ConvNeXts, and mmseg's EncoderDecoder over one."""
    _replace(cfg.model, 'backbone', CONVNEXT)
    _replace(cfg.model, 'fine_backbone', CONVNEXT)
    cfg.model.decode_head.update(strides=(4, 8, 16, 32), channels=(8,) * 5)
    plain = {key: cfg.model[key] for key in ('data_preprocessor', 'backbone', 'decode_head')}
    return _build(cfg), MODELS.build(dict(type='EncoderDecoder', **plain))


def _replace(model, part, backbone):
    model[part] = copy.deepcopy(backbone)


def _rates(model, optim_wrapper):
    """Learning rate and weight decay of each parameter."""
    optimizer = build_optim_wrapper(model, copy.deepcopy(optim_wrapper)).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: (g['lr'], g['weight_decay']) for g in optimizer.param_groups for p in g['params']}


def test_layers_of_both_backbones_learn_at_their_own_rates(cfg, lines, convnext):
    options = lines('mmpretrain.LearningRateDecayOptimWrapperConstructor')['optim_wrapper']
    rate, decay = options['optimizer']['lr'], options['paramwise_cfg']['layer_decay_rate']
    with_rods = copy.deepcopy(cfg)
    _replace(with_rods.model, 'backbone', dict(cfg.model.backbone, in_channels=1))
    with_rods.model.backbone = dict(
        type='deepunetto_mm.LuminanceBackbone', mean=[127.5] * 3, std=[64.0] * 3, backbone=with_rods.model.backbone
    )
    for model, prefix in ((convnext[0], 'backbone.'), (_build(with_rods), 'backbone.backbone.')):
        rates = _rates(model, options)
        # Of 8 layers, the last is after the backbone.
        for own in (prefix, 'fine_branch.fine_backbone.'):
            assert rates[f'{own}downsample_layers.0.0.weight'][0] == pytest.approx(rate * decay**7)
            assert rates[f'{own}stages.2.0.depthwise_conv.weight'][0] == pytest.approx(rate * decay**4)
            assert rates[f'{own}stages.3.0.depthwise_conv.weight'][0] == pytest.approx(rate * decay**1)
        assert {name: r for name, (r, _) in rates.items() if 'backbone' not in name and r != rate} == {}
        assert rates['fine_branch.fine_head.fc.weight'][1] == options['optimizer']['weight_decay']
        assert rates['fine_branch.fine_head.fc.bias'][1] == 0


def test_a_shared_encoder_has_no_layer_wise_rates_by_mmpretrains_constructor(cfg, lines, convnext):
    options = lines('mmpretrain.LearningRateDecayOptimWrapperConstructor')['optim_wrapper']
    options['paramwise_cfg']['bypass_duplicate'] = True
    with pytest.raises(ValueError, match='some parameters appear in more than one parameter group'):
        _rates(_shared(cfg), options)


def _shared(cfg, **settings):
    cfg.model.update(fine_backbone='shared', crop_neck=dict(cfg.model.crop_neck, in_index=(), guidance='none'))
    return _build(cfg, **settings)


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
def test_mmsegs_constructor_treats_the_backbone_as_ever_and_the_fine_branch_as_a_head(cfg, convnext, decay_type):
    options = dict(
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        constructor='LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(decay_rate=0.5, decay_type=decay_type, num_layers=6),
    )
    ours, plain = (_rates(model, options) for model in convnext)
    assert min(rate for rate, _ in plain.values()) == 0.5**7
    assert {name: ours[name] for name in plain} == plain
    assert {rate for name, (rate, _) in ours.items() if name not in plain} == {1.0}


def test_mmsegs_constructor_refuses_luminance(cfg):
    options = dict(
        optimizer=dict(type='SGD', lr=1.0),
        constructor='LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(decay_rate=0.5, num_layers=6),
    )
    with pytest.raises(NotImplementedError):
        _rates(_build(cfg), options)


def test_custom_keys_match_anywhere_and_the_longest_wins(cfg, lines):
    options = lines('custom_keys')['optim_wrapper']
    rate = options['optimizer']['lr']
    model = _build(cfg)

    def rates(keys):
        options['paramwise_cfg']['custom_keys'] = keys
        return {
            name.removeprefix('fine_branch.').partition('.')[0]: round(r / rate, 6)
            for name, (r, _) in _rates(model, options).items()
        }

    keys = options['paramwise_cfg']['custom_keys']
    assert rates(keys) == dict(backbone=0.1, decode_head=1.0, fine_backbone=1.0, fine_head=1.0)
    del keys['fine_backbone']
    assert rates(keys) == dict(backbone=0.1, decode_head=1.0, fine_backbone=0.1, fine_head=1.0)
    keys = {'head': dict(lr_mult=10.0)}
    assert rates(keys) == dict(backbone=1.0, decode_head=10.0, fine_backbone=1.0, fine_head=10.0)


def test_compiled_networks_are_one_graph_each_for_any_number_of_regions(cfg, lines, batch):
    two_stages = dict(num_stages=2, strides=(2, 2), dilations=(1, 1))  # half as much to compile
    cfg.model.backbone.backbone.update(two_stages, out_indices=(0, 1))
    cfg.model.fine_backbone.update(two_stages, out_indices=(1,))
    cfg.model.decode_head.update(in_channels=[8, 16], strides=(2, 4), channels=(8, 8))
    cfg.model.fine_head.in_channels = 16
    plain = _build(cfg)
    compiled = copy.deepcopy(plain)
    (options,) = [hook for hook in lines('CompileHook')['custom_hooks'] if 'Compile' in hook['type']]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # One graph or an error; to translate it into C++ would take a minute.
    HOOKS.build(dict(options, backend='eager', fullgraph=True)).before_train(SimpleNamespace(model=compiled))
    for numbers in ((1, 1), (1, 2), (0, 0), (2, 1)):
        data = batch(*numbers)
        expected, losses = (_learn(model, data) for model in (plain, compiled))
        torch.testing.assert_close(losses, expected)
        _assert_same_gradients(compiled, plain)
    # The two networks of the segmentation, the fine one for 2 crops, and for any number.
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 4
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict())


def test_checkpointed_gradients_are_the_same_for_less_memory(cfg, lines, batch):
    data = batch(2, 2)
    plain = _build(cfg)
    losses, without = _learn_and_count(plain, data)
    model = _build(cfg, **lines('with_cp'))
    same, with_checkpoints = _learn_and_count(model, data)
    assert same == losses
    _assert_same_gradients(model, plain)
    _print_megabytes(without, with_checkpoints)
    assert with_checkpoints < 0.7 * without
    # Batches are counted twice by BatchNorm, in which a batch weighs 0.1, if it is in a checkpoint.
    name = 'backbone.backbone.layer1.0.bn1'
    once, twice = (network.get_submodule(name).running_mean for network in (plain, model))
    torch.testing.assert_close(twice, 1.9 * once)


def test_checkpoints_in_a_shared_encoder_need_a_static_graph_in_a_distributed_run(cfg, lines, batch, tmp_path):
    backbone = lines('with_cp')['model']['backbone']
    model, data = _shared(cfg, model=dict(backbone=backbone)).cpu(), batch(2, 2)
    plain = copy.deepcopy(model)
    wrapper = lines('static_graph')['model_wrapper_cfg']
    init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        with pytest.raises(RuntimeError, match='Expected to mark a variable ready only once'):
            _learn_in_wrapper(copy.deepcopy(model), data, dict(wrapper, static_graph=False))
        _learn_in_wrapper(model, data, wrapper)
    finally:
        destroy_process_group()
    _learn(plain, data)
    _assert_same_gradients(model, plain)


def _learn_in_wrapper(model, data, cfg):
    wrapped = MODEL_WRAPPERS.build(dict(cfg, module=model))
    torch.manual_seed(1)  # boxes are jittered
    losses = wrapped(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    model.parse_losses(losses)[0].backward()


def _print_megabytes(without, with_checkpoints):
    print(f'kept for the gradients: {without / 1e6:.1f} MB, with checkpoints {with_checkpoints / 1e6:.1f} MB')


def test_mmengines_checkpoints_of_modules_for_less_memory(cfg, lines, batch):
    data = batch(2, 2)
    plain, model = _build(cfg), _build(cfg)
    losses, without = _learn_and_count(plain, data)
    turn_on_activation_checkpointing(model, lines('activation_checkpointing')['activation_checkpointing'])
    same, with_checkpoints = _learn_and_count(model, data)
    assert same == losses
    _assert_same_gradients(model, plain)
    _print_megabytes(without, with_checkpoints)
    assert with_checkpoints < 0.9 * without


@pytest.mark.parametrize('name', ['backbone', 'decode_head', 'fine_branch.fine_backbone'])
def test_mmengines_checkpoints_of_whole_networks_train_nothing(cfg, batch, name):
    """A warning: these get pictures, crops, or a list, and torch sees no input that wants a gradient."""
    model = _build(cfg)
    turn_on_activation_checkpointing(model, name)
    with pytest.warns(UserWarning, match='Gradients will be None'):
        _learn(model, batch(2, 2))
    assert all(parameter.grad is None for parameter in model.get_submodule(name).parameters())


@pytest.mark.parametrize('guidance', ['hard', 'soft'])
@pytest.mark.parametrize('numbers', [(2, 2), (0, 0)])
def test_half_precision_trains_alike(cfg, lines, batch, monkeypatch, numbers, guidance):
    # mmengine's wrapper refuses to be built without a GPU, though the CPU has bfloat16.
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True)
    cfg.model.crop_neck.update(guidance=guidance, in_index=(0,))
    cfg.model.fine_backbone.in_channels = 3 + 8
    options = lines('AmpOptimWrapper')['optim_wrapper']
    full, of_full = _step(_build(cfg), batch(*numbers), cfg.optim_wrapper)
    half, of_half = _step(_build(cfg), batch(*numbers), {**cfg.optim_wrapper, **options})
    assert of_full == dict(logits=torch.float32, crops=torch.float32, features=torch.float32)
    assert of_half == dict(logits=torch.bfloat16, crops=torch.float32, features=torch.bfloat16)
    assert half == pytest.approx(full, rel=0.02)
    assert (half['fine.loss_cls'] == 0) == (numbers == (0, 0))


def _step(model, data, optim_wrapper):
    """Losses of a step in which every parameter gets a finite gradient, and of what types the tensors between were."""
    reached, types = {}, {}
    for name, parameter in model.named_parameters():
        parameter.register_hook(lambda gradient, name=name: reached.update({name: gradient}))
    model.decode_head.register_forward_hook(lambda module, inputs, logits: types.update(logits=logits.dtype))
    model.fine_backbone.register_forward_hook(
        lambda module, crops, features: types.update(crops=crops[0].dtype, features=features[-1].dtype)
    )
    torch.manual_seed(1)  # boxes are jittered
    logged = model.train_step(data, build_optim_wrapper(model, optim_wrapper))
    assert set(reached) == {name for name, _ in model.named_parameters()}
    assert all(torch.isfinite(gradient).all() for gradient in reached.values())
    return {name: float(value) for name, value in logged.items() if 'loss' in name}, types


def test_half_precision_predicts_alike(cfg, lines, make_runner):
    settings = lines('AmpOptimWrapper')
    runner = make_runner(val_cfg=settings['val_cfg'], test_cfg=settings['test_cfg'])
    assert runner.val_loop.fp16
    assert runner.test_loop.fp16
    model = _build(cfg).eval()
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    results = []
    for enabled in (False, True):
        with torch.no_grad(), autocast(enabled=enabled):  # as mmengine's loops do
            results.append(model.test_step(pseudo_collate([dataset[0]]))[0])
    full, half = results
    assert half.seg_logits.data.dtype == torch.bfloat16 if get_device() == 'cpu' else torch.float16
    torch.testing.assert_close(half.seg_logits.data.float(), full.seg_logits.data, rtol=0.02, atol=0.02)
    assert (half.pred_sem_seg.data == full.pred_sem_seg.data).float().mean() > 0.95
    for field in ('pred_sem_seg', 'pred_region_map', 'pred_fine_seg'):
        assert half.get(field).data.dtype == full.get(field).data.dtype
    for key in full.pred_regions.keys():
        assert half.pred_regions[key].dtype == full.pred_regions[key].dtype
