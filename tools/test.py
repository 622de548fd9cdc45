"""Test a trained model: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import os
from typing import Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config, make_parser, require_keys
from deepunetto_mm.guards.checkpoint import resolve_checkpoint
from deepunetto_mm.guards.safe_loading import safe_loading
from deepunetto_mm.utils.errors import UsageError

# Evaluators with the options format_only and output_dir, whose files a benchmark takes.
SUBMITTERS = ('deepunetto_mm.CityscapesMetric', 'deepunetto_mm.CocoMetric')


def parse_args() -> argparse.Namespace:
    parser = make_parser('Test a trained model.')
    parser.add_argument('checkpoint', help='checkpoint, or a work directory, whose newest checkpoint is taken')
    parser.add_argument('--out', metavar='DIR', help='folder for the predicted label maps, one PNG a picture')
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='write the submission of a benchmark, by default to WORK_DIR/submission (--out names another folder), '
        'and evaluate nothing; needs no ground truth',
    )
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for pictures of the predictions')
    parser.add_argument('--wait-time', type=float, default=2, help='how long --show holds a picture, in seconds')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation by tta_model and tta_pipeline')
    return parser.parse_args()


def draw_predictions(cfg: Config, show: bool, show_dir: Optional[str], wait_time: float) -> None:
    """Turn on the hook that draws.

    Raises:
        UsageError: If the config has no such hook or no visualizer.
    """
    require_keys(cfg, 'default_hooks', 'visualizer')
    if not cfg.default_hooks.get('visualization'):
        raise UsageError(f'--show and --show-dir need default_hooks.visualization, which {cfg.filename} lacks')
    cfg.default_hooks.visualization.draw = True
    if show:
        cfg.default_hooks.visualization.update(show=True, wait_time=wait_time)
    if show_dir:
        cfg.visualizer.save_dir = show_dir


def set_outputs(cfg: Config, out: Optional[str]) -> Optional[str]:
    """Tell the metrics where to write: label maps to ``out``, the confusion matrix to the returned file."""
    confusion_matrix = None
    for evaluator in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
        kind = evaluator.type.rpartition('.')[2]
        if kind == 'IoUMetric' and out:
            evaluator.output_dir = out
        elif kind == 'FineGrainedMetric':
            confusion_matrix = evaluator.setdefault(
                'confusion_matrix', os.path.join(cfg.work_dir, 'confusion_matrix.png')
            )
    return confusion_matrix


def write_submission_only(cfg: Config, out: str) -> None:
    """Leave the evaluators that write a submission, let them write it to ``out``, and take the ground truth away.

    Raises:
        UsageError: If there is no such evaluator.
    """
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    cfg.test_evaluator = [evaluator for evaluator in evaluators if evaluator.type in SUBMITTERS]
    if not cfg.test_evaluator:
        raise UsageError(
            f'--format-only needs an evaluator that writes a submission ({", ".join(SUBMITTERS)}); test_evaluator of '
            f'{cfg.filename} has {", ".join(evaluator.type for evaluator in evaluators)}'
        )
    for evaluator in cfg.test_evaluator:
        evaluator.update(format_only=True, output_dir=out)
    for key in ('seg_map_path', 'region_map_path'):
        cfg.test_dataloader.dataset.get('data_prefix', {}).pop(key, None)


def test(args: argparse.Namespace) -> None:
    """Test as the command line says, and print the figures."""
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    require_keys(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    cfg.load_from = resolve_checkpoint(args.checkpoint)
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        require_keys(cfg, 'tta_model', 'tta_pipeline')
        if cfg.tta_model.type in ('SegTTAModel', 'mmseg.SegTTAModel') and cfg.model.get('region_proposer'):
            raise UsageError(
                f'SegTTAModel of {cfg.filename} averages the segmentation alone, and would leave the regions and names '
                "of the last view; set tta_model.type='deepunetto_mm.DeepUNettoTTA'"
            )
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.tta_model.module = cfg.model
        cfg.model = cfg.tta_model
    confusion_matrix, submission = None, args.out or os.path.join(cfg.work_dir, 'submission')
    if args.format_only:
        write_submission_only(cfg, submission)
    else:
        confusion_matrix = set_outputs(cfg, args.out)
    initialise_distributed(cfg, args.local_rank)
    fit_to_machine(cfg)
    runner = Runner.from_cfg(cfg)
    figures = runner.test()
    if is_main_process():
        print(f'\n{cfg.filename} with {cfg.load_from}:')
        for name, value in figures.items():
            print(f'  {name:<24} {value:.2f}')
        print(f'log: {runner.log_dir}')
        if confusion_matrix:
            print(f'confusion matrix: {confusion_matrix}')
        if args.format_only:
            print(f'submission: {submission}')
        elif args.out:
            print(f'predictions: {args.out}')
        if args.show_dir:
            print(f'pictures: {os.path.join(args.show_dir, "vis_data", "vis_image")}')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), safe_loading(args.trust_checkpoint):
        test(args)


if __name__ == '__main__':
    main()
