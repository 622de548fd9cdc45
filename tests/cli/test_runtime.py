import os
from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from deepunetto_mm.cli import runtime
from deepunetto_mm.cli.launchers import LaunchError
from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config, require_keys
from deepunetto_mm.utils.errors import UsageError


@pytest.fixture
def said(monkeypatch):
    """What is said; not read off a stream, since a logger of an earlier test keeps the one it was made with."""
    messages = []
    monkeypatch.setattr(runtime, 'print_log', lambda message, **_: messages.append(message))
    return messages


@pytest.fixture
def cpu(monkeypatch):
    """A machine with four cores and no GPU."""
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(runtime, 'available_cores', lambda: 4)
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with four cores and a GPU."""
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(runtime, 'available_cores', lambda: 4)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)


class TestLoadConfig:
    def test_overrides_and_work_dir(self, tmp_path):
        path = tmp_path / 'cells.py'
        path.write_text('a = dict(b=[dict(x=1), dict(x=2)], c=3)')
        cfg = load_config(str(path), {'a.b.1.x': 7, 'a.c': 4}, launcher='pytorch')
        assert cfg.a == dict(b=[dict(x=1), dict(x=7)], c=4)
        assert (cfg.work_dir, cfg.launcher) == (os.path.join('work_dirs', 'cells'), 'pytorch')
        assert load_config(str(path), work_dir='x').work_dir == 'x'
        path.write_text("work_dir = 'y'")
        assert load_config(str(path)).work_dir == 'y'
        assert load_config(str(path), work_dir='x').work_dir == 'x'

    def test_data_root_moves_the_datasets_that_stand_at_it(self, tmp_path):
        path = tmp_path / 'cells.py'
        path.write_text(
            "data_root = 'data/a'\n"
            'train_dataloader = dict(dataset=dict(datasets=[dict(data_root=data_root), dict(data_root="elsewhere")]))\n'
            'val_dataloader = dict(dataset=dict(data_root=data_root))'
        )
        cfg = load_config(str(path), {'data_root': '/new'})
        assert [dataset.data_root for dataset in cfg.train_dataloader.dataset.datasets] == ['/new', 'elsewhere']
        assert cfg.val_dataloader.dataset.data_root == '/new'
        assert load_config(str(path)).val_dataloader.dataset.data_root == 'data/a'

    def test_new_keys_are_told(self, tmp_path, said):
        path = tmp_path / 'cells.py'
        path.write_text('a = dict(b=[dict(x=1), dict(x=2)], c=3)')
        load_config(str(path), {'a.c': 4})
        assert not said
        cfg = load_config(str(path), {'a.d.e': 4, 'a.b.1.x': 5})
        assert cfg.a.d.e == 4
        assert said == ['--cfg-options adds keys that the config does not have: a.d.e']

    @pytest.mark.parametrize(
        ('text', 'options', 'message'),
        [
            ('a = (1,', {}, r'cells\.py, or .* line 1: '),
            ('a = [1]', {'a.0.b': 1}, 'does not fit the config: '),
            ('a = 1', {'a.b': 1}, 'does not fit the config: '),
        ],
    )
    def test_what_cannot_be_read(self, tmp_path, text, options, message):
        path = tmp_path / 'cells.py'
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            load_config(str(path), options)

    def test_required_keys(self):
        cfg = Config(dict(a=1, b=None))
        require_keys(cfg, 'a')
        with pytest.raises(UsageError, match='has no b, c'):
            require_keys(cfg, 'a', 'b', 'c')


class _Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index


class TestFitToMachine:
    def test_options_of_workers_go_with_them(self, cpu):
        loader = dict(batch_size=2, num_workers=0, persistent_workers=True, prefetch_factor=2)
        with pytest.raises(ValueError, match='num_workers'):
            DataLoader(_Numbers(), **loader)
        cfg = Config(dict(train_dataloader=loader, val_dataloader=None))
        fit_to_machine(cfg)
        assert [batch.tolist() for batch in DataLoader(_Numbers(), **cfg.train_dataloader)] == [[0, 1], [2, 3]]

    @pytest.mark.parametrize(('processes', 'workers'), [('1', 4), ('2', 2), ('8', 1)])
    def test_no_more_workers_than_cores(self, cpu, monkeypatch, processes, workers):
        monkeypatch.setenv('LOCAL_WORLD_SIZE', processes)
        cfg = Config(dict(train_dataloader=dict(num_workers=16, persistent_workers=True)))
        fit_to_machine(cfg)
        assert cfg.train_dataloader == dict(num_workers=workers, persistent_workers=True)

    def test_mixed_precision_needs_a_gpu(self, cpu):
        amp = dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16', optimizer=dict(type='SGD', lr=0.1))
        cfg = Config(dict(optim_wrapper=amp))
        fit_to_machine(cfg)
        assert cfg.optim_wrapper == dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))

    def test_launched_on_a_cpu(self, cpu):
        model = dict(a=dict(norm=dict(type='SyncBN', eps=0.1)), b=[dict(norm=dict(type='GN'))])
        cfg = Config(dict(launcher='pytorch', model=model, env_cfg=dict(dist_cfg=dict(backend='nccl'), x=1)))
        fit_to_machine(cfg)
        assert cfg.model == dict(a=dict(norm=dict(type='BN', eps=0.1)), b=[dict(norm=dict(type='GN'))])
        assert cfg.env_cfg == dict(dist_cfg=dict(backend='gloo'), x=1)
        assert cfg.model_wrapper_cfg == dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=False
        )

    def test_what_the_config_says_of_the_wrapper_stays(self, cpu):
        wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=True, device_ids=[0])
        cfg = Config(dict(launcher='mpi', model_wrapper_cfg=wrapper, find_unused_parameters=True))
        fit_to_machine(cfg)
        assert cfg.model_wrapper_cfg == dict(wrapper, device_ids=None, find_unused_parameters=True)

    @pytest.mark.parametrize(
        ('strategy', 'expected'),
        [
            (
                None,
                dict(
                    type='DDPStrategy',
                    model_wrapper=dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None),
                ),
            ),
            (
                dict(type='FSDPStrategy', sync_bn='torch', model_wrapper=dict(use_orig_params=True)),
                dict(type='FSDPStrategy', model_wrapper=dict(use_orig_params=True, device_id='cpu')),
            ),
        ],
    )
    def test_a_flexible_runner_launched_on_a_cpu(self, cpu, monkeypatch, strategy, expected):
        monkeypatch.setattr(runtime, 'FSDP_NEEDS_GPU', False)
        cfg = Config(dict(launcher='pytorch', runner_type='FlexibleRunner', strategy=strategy))
        fit_to_machine(cfg)
        assert cfg.strategy == expected
        assert 'model_wrapper_cfg' not in cfg

    def test_fsdp_on_a_cpu_is_an_error_where_torch_cannot(self, cpu, monkeypatch):
        monkeypatch.setattr(runtime, 'FSDP_NEEDS_GPU', True)
        cfg = dict(launcher='pytorch', runner_type='FlexibleRunner', strategy=dict(type='FSDPStrategy'))
        with pytest.raises(UsageError, match='FSDPStrategy without a GPU: torch .* cannot'):
            fit_to_machine(Config(cfg))

    def test_the_wish_for_sync_bn_goes_too(self, cpu, said):
        cfg = Config(dict(launcher='pytorch', sync_bn='torch'))
        fit_to_machine(cfg)
        assert 'sync_bn' not in cfg
        assert 'BatchNorm instead of SyncBN' in said[-1]

    def test_a_gpu_gets_what_the_config_says(self, gpu):
        cfg = Config(
            dict(
                launcher='pytorch',
                model=dict(norm_cfg=dict(type='SyncBN')),
                optim_wrapper=dict(type='AmpOptimWrapper'),
                train_dataloader=dict(num_workers=4, persistent_workers=True),
                env_cfg=dict(dist_cfg=dict(backend='nccl')),
            )
        )
        before = cfg.to_dict()
        fit_to_machine(cfg)
        assert cfg.to_dict() == before


class TestInitialiseDistributed:
    def test_one_process_needs_nothing(self, cpu):
        initialise_distributed(Config(dict(launcher='none')))
        assert not torch.distributed.is_initialized()

    def test_without_a_launcher_s_environment(self, cpu, monkeypatch):
        monkeypatch.delenv('RANK', raising=False)
        with pytest.raises(LaunchError, match='needs RANK.* in the environment; start the command with torchrun'):
            initialise_distributed(Config(dict(launcher='pytorch')))

    @pytest.mark.parametrize(('name', 'value'), [('LOCAL_WORLD_SIZE', '2'), ('LOCAL_RANK', '1')])
    def test_more_processes_than_gpus(self, gpu, monkeypatch, name, value):
        for variable in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'LOCAL_RANK'):
            monkeypatch.setenv(variable, '0')
        monkeypatch.setenv(name, value)
        with pytest.raises(UsageError, match=r'2 processes, 1 GPU\(s\)'):
            initialise_distributed(Config(dict(launcher='pytorch')))

    def test_the_timeout_of_the_config(self, cpu, monkeypatch):
        asked = {}
        for variable in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'LOCAL_RANK'):
            monkeypatch.setenv(variable, '0')
        monkeypatch.setattr(runtime.atexit, 'register', lambda function: None)
        monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend, **more: asked.update(more))
        initialise_distributed(Config(dict(launcher='pytorch')))
        assert asked == {}  # torch's own
        initialise_distributed(Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(timeout=90)))))
        assert asked == dict(timeout=timedelta(seconds=90))
