import re
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@pytest.fixture
def train(in_process):
    return in_process('tools/train.py')


def _log(work_dir):
    return '\n'.join(path.read_text() for path in work_dir.rglob('*.log'))


def _iterations(checkpoint):
    return torch.load(checkpoint, weights_only=False)['meta']['iter']


def test_trains_and_resumes_where_it_ended(train, config, tmp_path):
    train(config, '--work-dir', tmp_path)
    second = tmp_path / 'iter_2.pth'
    assert _iterations(second) == 2
    written = second.stat().st_mtime_ns
    assert re.search(r'decode\.loss_ce.*fine\.loss_cls', _log(tmp_path))
    assert 'fine/recognition' in _log(tmp_path)  # of the validation

    # Killed while saving: the third checkpoint is cut off, and last_checkpoint still names a file that is gone.
    (tmp_path / 'iter_3.pth').write_bytes(second.read_bytes()[:5000])
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_0.pth'))
    train(config, '--work-dir', tmp_path, '--resume', '--cfg-options', 'train_cfg.max_iters=3')
    assert _iterations(tmp_path / 'iter_3.pth') == 3
    assert second.stat().st_mtime_ns == written
    assert 'Iter(train) [3/3]' in _log(tmp_path)
    assert len(re.findall(r'Iter\(train\) \[2/', _log(tmp_path))) == 1


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_one_line(train, config, tmp_path, capsys):
    options = (config, '--work-dir', tmp_path, '--resume', '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=1')
    without_val = ('val_cfg=None', 'val_dataloader=None', 'val_evaluator=None')
    train(*options, 'train_cfg.max_iters=1', *without_val)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes of a file; a disk of this size takes root
    try:
        with pytest.raises(SystemExit) as stopped:
            train(*options, *without_val)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.fullmatch(r"error: .*; earlier files are intact: '.*iter_2\.pth'", last), last
    assert _iterations((tmp_path / 'last_checkpoint').read_text()) == 1
    train(*options, *without_val)
    assert [path.name for path in tmp_path.glob('*.pth*')] == ['iter_2.pth']


@HOOKS.register_module()
class UnmountHook(Hook):
    """The data are gone after the first step."""

    def after_train_iter(self, runner, *_, **__):
        if runner.iter == 0:
            data = Path(runner.train_dataloader.dataset.data_root)
            data.rename(data.with_name('gone'))


@pytest.mark.parametrize('num_workers', [0, 1])
def test_data_that_are_lost_are_one_line_and_the_run_goes_on_when_they_are_back(
    train, config, tmp_path, capsys, num_workers
):
    data = tmp_path / 'data'
    for index in range(16):
        for kind, picture in dict(images=np.full((64, 64, 3), index), masks=np.eye(64)).items():
            (data / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(data / kind / f'{index}.png'), picture.astype(np.uint8))
    dataset = dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=str(data),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        fine_label_file=None,
        metainfo=dict(taxonomy=Config.fromfile(config).model.taxonomy),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='deepunetto_mm.LoadRegions'),
            dict(type='deepunetto_mm.PackRegionInputs'),
        ],
    )
    written = tmp_path / 'config.py'
    written.write_text(
        f'_base_ = [{str(config.with_name("shallow_config.py"))!r}]\n'
        f'train_dataloader = dict(num_workers={num_workers}, dataset=dict(_delete_=True, **{dataset!r}))\n'
        'train_cfg = dict(max_iters=5)\nval_cfg = val_dataloader = val_evaluator = None\n'
    )
    with pytest.raises(SystemExit) as stopped:
        train(written, '--work-dir', tmp_path / 'run', '--cfg-options', 'default_hooks.loss_explosion.type=UnmountHook')
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.fullmatch(rf'error: .*{data}/(images|masks)/\d+\.png.*', last), last
    (tmp_path / 'gone').rename(data)
    train(written, '--work-dir', tmp_path / 'run', '--resume')
    assert _iterations(tmp_path / 'run' / 'iter_5.pth') == 5
    assert len(re.findall(r'Iter\(train\) \[1/', _log(tmp_path / 'run'))) == 1


def test_resuming_what_is_complete_trains_no_further(train, config, tmp_path):
    options = (
        '--work-dir',
        tmp_path,
        '--resume',
        '--cfg-options',
        'train_cfg.max_iters=1',
        'val_cfg=None',
        'val_dataloader=None',
        'val_evaluator=None',
    )
    train(config, *options)  # nothing to resume: it says so and begins
    written = (tmp_path / 'iter_1.pth').stat().st_mtime_ns
    train(config, *options)
    assert (tmp_path / 'iter_1.pth').stat().st_mtime_ns == written


def test_processes_that_do_not_share_the_work_directory(train, config, tmp_path, capsys, monkeypatch):
    torch.save(dict(state_dict={}), tmp_path / 'iter_1.pth')
    monkeypatch.setattr(train.module, 'all_gather_object', lambda found: [found, None])
    monkeypatch.setattr(train.module.RUNNERS, 'build', lambda cfg: None)
    with pytest.raises(SystemExit) as stopped:
        train(config, '--work-dir', tmp_path, '--resume', '--no-data-check')
    assert stopped.value.code == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        f'error: --resume found different checkpoints in {tmp_path}, by process: iter_1.pth, None; --work-dir must be '
        'a folder that all machines share'
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ((), r"error: no config at '.*absent\.py'"),
        (('--traceback',), None),
    ],
)
def test_a_missing_config_is_one_line(train, tmp_path, capsys, options, message):
    if message is None:
        with pytest.raises(ValueError, match='no config at'):
            train(tmp_path / 'absent.py', *options)
        return
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / 'absent.py', *options)
    assert stopped.value.code == 1
    assert re.fullmatch(message, capsys.readouterr().err.strip())


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_dataloader=None', r'error: the config .*tiny_config\.py has no train_dataloader'),
        (
            'model.type=deepunetto_mm.DeepNetto',
            r'error: deepunetto_mm\.DeepNetto is not in the mmseg::model registry\.',
        ),
        ('model.decode_head.chanels=8', r"error: .*__init__\(\) got an unexpected keyword argument 'chanels'"),
        ('model.decode_head.num_classes=3', r'error: decode_head\.num_classes is 3, but the taxonomy has 4 classes'),
        ('train_dataloader.dataset.num_scenes=0', r'error: RodConeShapes: num_scenes must be at least 1, got 0'),
        ('model.type.x=1', r'error: --cfg-options does not fit the config: '),
    ],
)
def test_what_the_config_lacks_is_one_line(train, config, tmp_path, capsys, option, message):
    with pytest.raises(SystemExit) as stopped:
        train(config, '--work-dir', tmp_path, '--cfg-options', option)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(message, last), last


def test_options_without_a_value_are_refused(train, config, capsys):
    with pytest.raises(SystemExit) as stopped:
        train(config, '--cfg-options', 'train_cfg.max_iters', '3')
    assert stopped.value.code == 2
    assert "--cfg-options takes key=value pairs, got 'train_cfg.max_iters'" in capsys.readouterr().err


def test_the_learning_rate_scales_with_the_batch(train, config, tmp_path):
    # Batches of 2 pictures, and a learning rate of 0.001 that is meant for batches of 8.
    train(
        *(config, '--work-dir', tmp_path, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr.base_batch_size=8'),
        *('train_cfg.max_iters=1', 'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None'),
    )
    checkpoint = torch.load(tmp_path / 'iter_1.pth', weights_only=False)
    assert checkpoint['optimizer']['param_groups'][0]['lr'] == pytest.approx(1e-3 * 2 / 8)


FSDP = ('runner_type=FlexibleRunner', 'strategy.type=FSDPStrategy')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ('--auto-scale-lr',),
            r'error: --auto-scale-lr needs auto_scale_lr\.base_batch_size, .*; the config .* has none',
        ),
        (('--cfg-options', 'strategy.type=DDPStrategy'), r"error: strategy needs runner_type='FlexibleRunner'"),
        (('--cfg-options', *FSDP), r'error: FSDPStrategy shards the parameters over processes; start several'),
        (
            ('--launcher', 'pytorch', '--cfg-options', *FSDP, 'optim_wrapper.clip_grad.max_norm=1'),
            r'error: with FSDPStrategy .* set optim_wrapper\.clip_grad=None',
        ),
        (
            ('--launcher', 'pytorch', '--cfg-options', *FSDP, 'model.fine_backbone=shared'),
            r"error: FSDPStrategy may part the kernels .* fine_backbone='shared' have; give crops a backbone",
        ),
        (
            ('--launcher', 'pytorch', '--resume', '--cfg-options', *FSDP),
            r'error: .* --cfg-options load_from=CHECKPOINT',
        ),
        (('--cfg-options', 'runner_type=Walker'), r'error: Walker is not in the runner registry'),
        (('--launcher', 'slurm'), r'error: --launcher slurm needs SLURM_PROCID, .*; start the command with srun'),
    ],
)
def test_what_does_not_go_together_is_one_line(train, config, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        train(config, '--work-dir', tmp_path, *options)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(message, last), last


@pytest.fixture
def colourless(config, tmp_path):
    """The tiny config with training data of a single picture that is cut short."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').write_bytes(b'\xff\xd8\xff')
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = [{str(config)!r}]\n'
        "train_dataloader = dict(dataset=dict(_delete_=True, type='deepunetto_mm.CoarseFineDataset',\n"
        f"    data_root={str(tmp_path)!r}, data_prefix=dict(img_path='images'), mask_files=False,\n"
        '    fine_label_file=None, metainfo=dict(taxonomy={{_base_.taxonomy}}),\n'
        "    pipeline=[dict(type='LoadImageFromFile')]))\n"
        "test_dataloader = dict(dataset=dict(_delete_=True, type='deepunetto_mm.NoSuchDataset'))\n"
    )
    return path


def test_bad_data_is_noticed_before_the_model_is_built(train, colourless, tmp_path, capsys):
    options = (colourless, '--work-dir', tmp_path / 'run', '--cfg-options', 'model.type=deepunetto_mm.DeepNetto')
    with pytest.raises(SystemExit) as stopped:
        train(*options)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r'error: .*images/a\.jpg: the file is truncated after 3 bytes; .*--no-data-check', last), last
    assert not (tmp_path / 'run').exists()
    with pytest.raises(SystemExit):
        train(*options, '--no-data-check')
    assert 'DeepNetto is not in the mmseg::model registry' in capsys.readouterr().err.strip().splitlines()[-1]


def test_one_process_of_several_checks_the_data(train, colourless, tmp_path, capsys, monkeypatch):
    """The others would read the same."""
    for key, value in dict(RANK=1, LOCAL_RANK=1, WORLD_SIZE=2, MASTER_ADDR='localhost', MASTER_PORT=1).items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setattr(train.module, 'initialise_distributed', lambda cfg, local_rank: None)
    monkeypatch.setattr(train.module.RUNNERS, 'build', lambda cfg: (_ for _ in ()).throw(ValueError('built')))
    with pytest.raises(SystemExit):
        train(colourless, '--work-dir', tmp_path / 'run', '--launcher', 'pytorch')
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith('error: built')


def test_tensorboard_gets_figures_beside_the_log(train, config, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(config, '--work-dir', tmp_path, '--no-data-check', '--log-to', 'tensorboard')
    (events,) = tmp_path.rglob('events.out.tfevents.*')
    written = EventAccumulator(str(events)).Reload()
    assert {'loss', 'mIoU', 'fine/recognition'} <= set(written.Tags()['scalars'])
    assert [item.step for item in written.Scalars('loss')] == [1, 2]
    assert list(tmp_path.rglob('scalars.json'))  # of the backend that was there
