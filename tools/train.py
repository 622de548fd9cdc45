"""Train a model: ``python tools/train.py CONFIG``."""

from __future__ import annotations

import argparse
import logging
import os
from typing import Optional

from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.registry import RUNNERS

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.heap import keep_freed_memory
from deepunetto_mm.cli.log_backends import BACKENDS, add_log_backends
from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config, make_parser, require_keys
from deepunetto_mm.cli.terminal import describe_run, quiet_terminal
from deepunetto_mm.utils.config_parts import type_name
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.remote_weights import fetch_weights


def parse_args() -> argparse.Namespace:
    parser = make_parser('Train a model.')
    parser.add_argument(
        '--resume', action='store_true', help='resume from the newest checkpoint of the work directory, if there is one'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision, if there is a GPU')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='multiply the learning rate by the batch size over all processes / auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--log-to',
        nargs='+',
        choices=list(BACKENDS),
        default=[],
        help='also write figures and drawings for these, to the work directory',
    )
    parser.add_argument(
        '--no-data-check',
        action='store_true',
        help='do not check a sample of the data first',
    )
    return parser.parse_args()


def scale_learning_rate(cfg: Config) -> None:
    """Make mmengine scale the learning rate by the batch size over all processes.

    Raises:
        UsageError: If the config does not have the batch size that its learning rate is meant for.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise UsageError(
            f'--auto-scale-lr needs auto_scale_lr.base_batch_size, the batch size over all processes that the learning '
            f'rate is meant for; the config {cfg.filename} has none'
        )
    cfg.auto_scale_lr.enable = True


def check_strategy(cfg: Config, resume: bool) -> None:
    """Reject options that mmengine would silently ignore, or handle incorrectly.

    Raises:
        UsageError: If a strategy has no runner that uses it; or if parameters are to be sharded in a single process,
            or are shared by two backbones, gradients clipped by the norm of a process's own shards, or a sharded
            optimizer's state resumed.
    """
    if not cfg.get('strategy'):
        return
    if cfg.get('runner_type') != 'FlexibleRunner':
        raise UsageError(f"strategy needs runner_type='FlexibleRunner', which is missing in {cfg.filename}")
    if type_name(cfg.strategy) != 'FSDPStrategy':
        return
    if cfg.launcher == 'none':
        raise UsageError('FSDPStrategy shards the parameters over processes; start several, with tools/dist_train.sh')
    if cfg.model.get('fine_backbone') == 'shared':
        raise UsageError(
            "FSDPStrategy may part the kernels that both looks of fine_backbone='shared' have; give crops a backbone "
            'of their own'
        )
    clip_grad = cfg.optim_wrapper.get('clip_grad')
    if clip_grad and clip_grad.get('type', 'norm') == 'norm':
        raise UsageError(
            'with FSDPStrategy each process would clip by the norm of its own shards; set '
            "optim_wrapper.clip_grad=None, or its type to 'value'"
        )
    if resume:
        raise UsageError(
            'mmengine cannot load the state of an optimizer that FSDPStrategy sharded; continue from the weights only: '
            'without --resume, and with --cfg-options load_from=CHECKPOINT'
        )


def require_same_checkpoint(checkpoint: Optional[str], work_dir: str) -> None:
    """Raise unless all processes resume from the same checkpoint, or none of them does.

    Raises:
        UsageError: If not: they would train on from different weights.
    """
    found = all_gather_object(checkpoint and os.path.basename(checkpoint))
    if len(set(found)) > 1:
        raise UsageError(
            f'--resume found different checkpoints in {work_dir}, by process: {", ".join(map(str, found))}; --work-dir '
            'must be a folder that all machines share'
        )


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    from deepunetto_mm.cli.progress_bar import progress_bar  # here and below: --help would be slow
    from deepunetto_mm.guards import find_checkpoint

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    require_keys(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    if args.amp:
        kind = type_name(cfg.optim_wrapper) or 'OptimWrapper'
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise UsageError(f"--amp works with optim_wrapper.type='OptimWrapper', but the config has {kind!r}")
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale=cfg.optim_wrapper.get('loss_scale', 'dynamic'))
    if args.auto_scale_lr:
        scale_learning_rate(cfg)
    if args.log_to:
        add_log_backends(cfg, args.log_to)
    check_strategy(cfg, args.resume)
    initialise_distributed(cfg, args.local_rank)
    fit_to_machine(cfg)
    if cfg.launcher == 'none' or os.environ['RANK'] == '0':
        fetch_weights(cfg)
    if not args.no_data_check and (cfg.launcher == 'none' or os.environ['RANK'] == '0'):
        from deepunetto_mm.verification import check_sample

        print_log(check_sample(cfg), 'current')
    checkpoint = None
    if args.resume:
        checkpoint = find_checkpoint(cfg.work_dir)
        if checkpoint is None:
            print_log(f'no checkpoint to resume in {cfg.work_dir}: training from the start', 'current', logging.WARNING)
        else:
            cfg.update(resume=True, load_from=checkpoint)
    runner = RUNNERS.build(cfg)
    require_same_checkpoint(checkpoint, cfg.work_dir)
    print_log(describe_run(runner), runner.logger)
    with progress_bar(runner):
        runner.train()


def main() -> None:
    args = parse_args()
    from deepunetto_mm.guards import safe_loading

    keep_freed_memory()
    with one_line_errors(args.traceback, training=True), safe_loading(args.trust_checkpoint), quiet_terminal():
        train(args)


if __name__ == '__main__':
    main()
