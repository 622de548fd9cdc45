import os
import sys
from datetime import timedelta

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from deepunetto_mm.apis import runtime
from deepunetto_mm.apis.launchers import LaunchError
from deepunetto_mm.apis.runtime import (
    UsageError,
    find_checkpoint,
    fit_to_machine,
    initialise_distributed,
    load_config,
    one_line_errors,
    require_keys,
    resolve_checkpoint,
)
from deepunetto_mm.structures import TaxonomyError


@pytest.fixture
def cpu(monkeypatch):
    """A machine with four cores and no GPU."""
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(runtime, '_available_cores', lambda: 4)
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with four cores and a GPU."""
    monkeypatch.setattr(runtime, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(runtime, '_available_cores', lambda: 4)
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

    def test_new_keys_are_told(self, tmp_path, capsys):
        path = tmp_path / 'cells.py'
        path.write_text('a = dict(b=[dict(x=1), dict(x=2)], c=3)')
        load_config(str(path), {'a.c': 4})
        assert 'does not have' not in ''.join(capsys.readouterr())
        cfg = load_config(str(path), {'a.d.e': 4, 'a.b.1.x': 5})
        assert cfg.a.d.e == 4
        assert 'keys that the config does not have: a.d.e\n' in ''.join(capsys.readouterr())

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
    def test_a_flexible_runner_launched_on_a_cpu(self, cpu, strategy, expected):
        cfg = Config(dict(launcher='pytorch', runner_type='FlexibleRunner', strategy=strategy))
        fit_to_machine(cfg)
        assert cfg.strategy == expected
        assert 'model_wrapper_cfg' not in cfg

    def test_the_wish_for_sync_bn_goes_too(self, cpu, capsys):
        cfg = Config(dict(launcher='pytorch', sync_bn='torch'))
        fit_to_machine(cfg)
        assert 'sync_bn' not in cfg
        assert 'BatchNorm instead of SyncBN' in ''.join(capsys.readouterr())

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
        assert asked == dict(timeout=None)
        initialise_distributed(Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(timeout=90)))))
        assert asked == dict(timeout=timedelta(seconds=90))


class TestFindCheckpoint:
    def _save(self, path, time):
        torch.save(dict(weight=torch.zeros(3)), path)
        os.utime(path, (time, time))
        return path

    def test_newest_first(self, tmp_path):
        assert find_checkpoint(str(tmp_path / 'absent')) is None
        assert find_checkpoint(str(tmp_path)) is None
        self._save(tmp_path / 'epoch_9.pth', 100)
        newest = self._save(tmp_path / 'epoch_10.pth', 200)
        self._save(tmp_path / 'best_mIoU_epoch_5.pth', 300)  # holds no optimizer to go on with
        assert find_checkpoint(str(tmp_path)) == str(newest)

    def test_passes_over_what_a_killed_run_left(self, tmp_path):
        intact = self._save(tmp_path / 'iter_1.pth', 100)
        cut = self._save(tmp_path / 'iter_2.pth', 200)
        cut.write_bytes(cut.read_bytes()[:-50])
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_0.pth'))
        assert find_checkpoint(str(tmp_path)) == str(intact)

    def test_follows_the_pointer_elsewhere(self, tmp_path):
        elsewhere = self._save(tmp_path / 'x.pth', 100)
        folder = tmp_path / 'run'
        folder.mkdir()
        (folder / 'last_checkpoint').write_text(str(elsewhere))
        assert find_checkpoint(str(folder)) == str(elsewhere)

    def test_what_a_command_line_may_name(self, tmp_path):
        with pytest.raises(UsageError, match='no intact checkpoint'):
            resolve_checkpoint(str(tmp_path))
        with pytest.raises(UsageError, match='no checkpoint at'):
            resolve_checkpoint(str(tmp_path / 'absent.pth'))
        path = str(self._save(tmp_path / 'epoch_9.pth', 100))
        assert resolve_checkpoint(path) == resolve_checkpoint(str(tmp_path)) == path
        assert resolve_checkpoint('https://example.org/x.pth') == 'https://example.org/x.pth'


class _Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise TaxonomyError("a.png: 'cat' is no cell;\nmend labels.csv")


class TestOneLineErrors:
    def _report(self, capsys, error):
        with pytest.raises(SystemExit) as stopped, one_line_errors():
            raise error
        return stopped.value.code, capsys.readouterr().err

    @pytest.mark.parametrize(
        ('error', 'line'),
        [
            (TaxonomyError('two\nlines'), 'error: two lines\n'),
            (UsageError('x'), 'error: x\n'),
            (FileNotFoundError(2, 'No such file', 'a.png'), "error: [Errno 2] No such file: 'a.png'\n"),
            (ValueError('of another library'), 'error: of another library (--traceback shows where)\n'),
            (KeyError('no X in the registry'), 'error: no X in the registry (--traceback shows where)\n'),
        ],
    )
    def test_what_the_user_can_mend(self, capsys, error, line):
        assert self._report(capsys, error) == (1, line)

    @pytest.mark.parametrize('disguised', [False, True])
    def test_ctrl_c(self, capsys, disguised):
        error = KeyboardInterrupt()
        if disguised:
            error = SyntaxError('cannot format')
            error.__context__ = KeyboardInterrupt()
        status, line = self._report(capsys, error)
        assert status == 130
        assert '--resume' in line

    @pytest.mark.parametrize('error', [RuntimeError('x'), KeyError('x'), TypeError('x'), AttributeError('x')])
    def test_other_errors_pass(self, error):
        with pytest.raises(type(error), match='x'), one_line_errors():
            raise error

    @pytest.mark.parametrize('error', [TaxonomyError('x'), KeyboardInterrupt('x')])
    def test_everything_passes_when_asked(self, error):
        with pytest.raises(type(error), match='x'), one_line_errors(show_traceback=True):
            raise error

    @pytest.mark.skipif(sys.platform != 'linux', reason='workers are forked')
    def test_a_loader_s_worker(self, capsys):
        with pytest.raises(SystemExit), one_line_errors():
            next(iter(DataLoader(_Broken(), num_workers=1, multiprocessing_context='fork')))
        assert capsys.readouterr().err == "error: a.png: 'cat' is no cell; mend labels.csv\n"
