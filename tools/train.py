"""Train a model: ``python tools/train.py CONFIG``."""

from __future__ import annotations

import argparse
import logging

from mmengine.logging import print_log
from mmengine.runner import Runner

from deepunetto_mm.apis.runtime import (
    UsageError,
    find_checkpoint,
    fit_to_machine,
    initialise_distributed,
    load_config,
    make_parser,
    one_line_errors,
    require_keys,
)


def parse_args() -> argparse.Namespace:
    parser = make_parser('Train a model.')
    parser.add_argument(
        '--resume', action='store_true', help='go on from the newest checkpoint of the work directory, if there is one'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision, where there is a GPU')
    return parser.parse_args()


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    require_keys(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    if args.amp:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise UsageError(f"--amp works with optim_wrapper.type='OptimWrapper', the config has {kind!r}")
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale=cfg.optim_wrapper.get('loss_scale', 'dynamic'))
    initialise_distributed(cfg, args.local_rank)
    fit_to_machine(cfg)
    if args.resume:
        checkpoint = find_checkpoint(cfg.work_dir)
        if checkpoint is None:
            print_log(f'no checkpoint to resume in {cfg.work_dir}: training from the start', 'current', logging.WARNING)
        else:
            cfg.update(resume=True, load_from=checkpoint)
    Runner.from_cfg(cfg).train()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        train(args)


if __name__ == '__main__':
    main()
