"""Shared steps of the commands in ``tools/`` before the Runner is built."""

import argparse
import atexit
import gc
import inspect
import logging
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import distributed

from deepunetto_mm.cli.launchers import export_place
from deepunetto_mm.utils.config_parts import type_name
from deepunetto_mm.utils.errors import UsageError, message_of
from deepunetto_mm.utils.shipped_configs import read_config, resolve_config

# The hooks and options that need a GPU: mmengine's mixed precision and torch's NCCL.
_PLAIN_DEVICES = ('cpu', 'mps')
# FullyShardedDataParallel sets a priority of its streams, and torch 2.1 has none on the CPU.
FSDP_NEEDS_GPU = not inspect.signature(torch.cpu.Stream).parameters
_DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class ConfigOptionsAction(DictAction):
    """``key=value`` pairs as in mmengine; a pair without ``=`` is a clear error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: Optional[str] = None,
    ) -> None:
        """Store the pairs, parsed."""
        for value in values:
            if '=' not in value:
                parser.error(f'{option_string} takes key=value pairs, got {value!r}')
        super().__call__(parser, namespace, values, option_string)


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that the tools share, with the names of mmseg."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        'config',
        help='config file, which is Python and is executed: use only trusted files; or '
        'deepunetto_mm::NAME, a config of the package',
    )
    parser.add_argument('--work-dir', help='folder for logs and results; default: work_dirs/<name of the config>')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torchrun sets the environment variable; older launchers pass either spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    add_common_options(parser)
    return parser


def add_common_options(parser: argparse.ArgumentParser, checkpoint: bool = True) -> None:
    """Options of all tools that read a config, and perhaps a checkpoint."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, such as train_dataloader.batch_size=4; lists as key="[a,b]", no spaces',
    )
    if checkpoint:
        parser.add_argument(
            '--trust-checkpoint', action='store_true', help='load checkpoints even if they may execute code'
        )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')


def load_config(
    path: str, options: Optional[Mapping[str, Any]] = None, work_dir: Optional[str] = None, launcher: str = 'none'
) -> Config:
    """Read a config with its overrides, and fill in ``work_dir`` and ``launcher``.

    Args:
        path: The config file, or the name of one of the package: ``deepunetto_mm::deepunetto_shapes.py``.
        options: Overrides, dotted keys to values, as :class:`ConfigOptionsAction` parses them.
            ``data_root`` changes all datasets that use the config's ``data_root``.
        work_dir: The work directory; if None, the config's, or else ``work_dirs/<name of the config>``.
        launcher: The launcher of the processes; ``'none'`` for a single one.

    Raises:
        UsageError: If the file is absent or is not Python, or an override does not fit it.
    """
    path = resolve_config(path)
    if not os.path.isfile(path):
        raise UsageError(f'no config at {path!r}')
    try:
        cfg = read_config(path)
    except SyntaxError as error:
        # mmengine does not name the file.
        raise UsageError(f'{path}, or a config it is based on, line {error.lineno}: {error.msg}') from error
    options = dict(options or {})
    added = [key for key in options if not _has_key(cfg, key)]
    if added:
        # Not an error: many keys have defaults and are left out of configs. But it may be a typo.
        _say(f'--cfg-options adds keys that the config does not have: {", ".join(added)}')
    if 'data_root' in options:
        _spread_data_root(cfg, cfg.get('data_root'), options['data_root'])
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise UsageError(f'--cfg-options does not fit the config: {message_of(error)}') from error
    cfg.work_dir = work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(path).stem)
    cfg.launcher = launcher
    return cfg


def require_keys(cfg: Config, *keys: str) -> None:
    """Check that the config has the keys that a command needs.

    Raises:
        UsageError: If a key is absent or None; the message names all of them.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if missing:
        raise UsageError(f'the config {cfg.filename} has no {", ".join(missing)}')


def fit_to_machine(cfg: Config) -> None:
    """Adapt the config to this machine; every change is reported.

    - Loaders get at most as many workers as this process has cores. Without workers, the options that torch then
      rejects (``persistent_workers``, ``prefetch_factor``) are removed.
    - Without a GPU, mixed precision becomes plain float32, because mmengine's wrapper cannot be built.
    - Without a GPU, a launched run gets the options that DistributedDataParallel and FullyShardedDataParallel need on a
      CPU, and BatchNorm instead of SyncBN.

    Raises:
        UsageError: If an option of the config is impossible without a GPU.
    """
    cores = max(1, available_cores() // int(os.environ.get('LOCAL_WORLD_SIZE', '1')))
    for name in _DATALOADERS:
        loader = cfg.get(name)
        if loader is None:
            continue
        if loader.get('num_workers', 0) > cores:
            _say(f'{name}: {cores} workers instead of {loader.num_workers}, one per core')
            loader.num_workers = cores
        if loader.get('num_workers', 0) == 0:
            loader.persistent_workers = False
            loader.pop('prefetch_factor', None)

    if get_device() not in _PLAIN_DEVICES:
        return
    wrapper = cfg.get('optim_wrapper')
    if wrapper is not None and type_name(wrapper) == 'AmpOptimWrapper':
        _say('no GPU: float32 instead of mixed precision')
        wrapper.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
    if cfg.get('launcher', 'none') != 'none':
        cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
        _wrap_on_cpu(cfg)
        if _drop_sync_bn(cfg):
            _say('no GPU: BatchNorm instead of SyncBN, which gloo cannot synchronise')


def initialise_distributed(cfg: Config, local_rank: int = 0) -> None:
    """Join the other processes of a launched run through gloo if there is no GPU.

    With a GPU, mmengine joins them. Without one, setting gloo as the backend is not enough: it would call
    ``torch.cuda.set_device`` first. It keeps a process group that exists when the Runner is built.

    Args:
        cfg: The config; its ``launcher`` and ``env_cfg.dist_cfg.timeout``, in seconds, are used.
        local_rank: Number of this process on its machine, if torch's launcher passes it as an argument and not in
            the environment.

    Raises:
        LaunchError: If the environment lacks a variable of the launcher.
        UsageError: If there are more processes on this machine than GPUs.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    export_place(cfg.launcher, local_rank)
    if get_device() not in _PLAIN_DEVICES:
        processes = max(int(os.environ.get('LOCAL_WORLD_SIZE', '1')), int(os.environ['LOCAL_RANK']) + 1)
        if torch.cuda.is_available() and processes > torch.cuda.device_count():
            raise UsageError(f'{processes} processes, {torch.cuda.device_count()} GPU(s): start one process per GPU')
        return
    if not distributed.is_initialized():
        seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        # Left out if unset: torch 2.1 does not accept None.
        options: dict[str, Any] = {} if seconds is None else dict(timeout=timedelta(seconds=seconds))
        distributed.init_process_group('gloo', **options)
        # At the end of the interpreter, gloo's threads sometimes abort the process after a successful run.
        atexit.register(_leave_process_group)


def _spread_data_root(node: Any, old: Any, new: Any) -> None:
    """Set the new root in every dataset that has the config's, in place; the variable in the file has no effect now."""
    for child in node.values() if isinstance(node, (Config, Mapping)) else node:
        if isinstance(child, dict) and 'data_root' in child and child['data_root'] == old:
            child['data_root'] = new
        if isinstance(child, (Mapping, list, tuple)):
            _spread_data_root(child, old, new)


def _leave_process_group() -> None:
    if distributed.is_initialized():
        # Torch up to 2.3 joins gloo's threads without releasing the GIL, which they may need to free a tensor.
        time.sleep(0.1)
        distributed.destroy_process_group()
        gc.collect()  # the Runner is part of a cycle, and its model holds the group, too


def _has_key(cfg: Any, dotted: str) -> bool:
    for key in dotted.split('.'):
        if isinstance(cfg, (list, tuple)):
            if not key.isdigit() or int(key) >= len(cfg):
                return False
            cfg = cfg[int(key)]
        elif isinstance(cfg, (Config, Mapping)) and key in cfg:
            cfg = cfg[key]
        else:
            return False
    return True


def _wrap_on_cpu(cfg: Config) -> None:
    """Keep the model on its device when it is wrapped; mmengine would use a GPU."""
    ddp = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    # For DistributedDataParallel, None means the device of the parameters.
    if cfg.get('runner_type') != 'FlexibleRunner':
        ddp['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
        cfg.model_wrapper_cfg = {**ddp, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}
        return
    cfg.strategy = cfg.get('strategy') or dict(type='DDPStrategy')
    wrapper = cfg.strategy.get('model_wrapper') or {}
    if type_name(cfg.strategy) == 'FSDPStrategy':
        if FSDP_NEEDS_GPU:
            raise UsageError(f'FSDPStrategy without a GPU: torch {torch.__version__} cannot; use a later one, or a GPU')
        cfg.strategy.model_wrapper = {**wrapper, 'device_id': 'cpu'}
    else:
        cfg.strategy.model_wrapper = {**ddp, **wrapper, 'device_ids': None}


def _drop_sync_bn(cfg: Config) -> bool:
    """Remove SyncBN from the model and from options that would insert it, in place; whether there was any."""
    asked = [bool(owner.pop('sync_bn', None)) for owner in (cfg, cfg.get('strategy') or {})]
    return bool(_replace_sync_bn(cfg.get('model') or {})) or any(asked)


def _replace_sync_bn(node: Any) -> int:
    """Replace ``type='SyncBN'`` by ``type='BN'`` at any depth, in place; returns the number of replacements."""
    if isinstance(node, (list, tuple)):
        return sum(_replace_sync_bn(item) for item in node)
    if not isinstance(node, dict):
        return 0
    found = type_name(node) in ('SyncBN', 'SyncBatchNorm')  # as a name, and as a class
    if found:
        node['type'] = 'BN'
    return found + sum(_replace_sync_bn(value) for value in node.values())


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _say(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
