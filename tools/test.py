"""Test a trained model: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
from typing import TYPE_CHECKING, Any, Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config, make_parser, require_keys
from deepunetto_mm.cli.terminal import quiet_terminal
from deepunetto_mm.utils.config_parts import as_list, dataset_parts, type_name
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole

if TYPE_CHECKING:
    from mmengine.runner import Runner

# Evaluators with the options format_only and output_dir, whose files a benchmark takes.
SUBMITTERS = ('CityscapesMetric', 'CocoMetric')


def parse_args() -> argparse.Namespace:
    parser = make_parser('Test a trained model.')
    parser.add_argument('checkpoint', help='checkpoint, or a work directory, whose newest checkpoint is used')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder for the predicted label maps, one PNG per picture; needs no masks in the test data',
    )
    parser.add_argument(
        '--out-metrics',
        metavar='FILE.json',
        help='file for the figures, including those of each class if available',
    )
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='write the submission of a benchmark, by default to WORK_DIR/submission (--out sets another folder), '
        'without evaluation; needs no ground truth. Without an evaluator that writes one: label maps, to --out',
    )
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for pictures of the predictions')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show displays a picture')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation with tta_model and tta_pipeline')
    parser.add_argument('--bf16', action='store_true', help='compute in bfloat16: faster, slightly different figures')
    return parser.parse_args()


def draw_predictions(cfg: Config, show: bool, show_dir: Optional[str], wait_time: float) -> None:
    """Turn on the visualization hook.

    Raises:
        UsageError: If the config has no such hook or no visualizer.
    """
    require_keys(cfg, 'default_hooks', 'visualizer')
    if not cfg.default_hooks.get('visualization'):
        raise UsageError(f'--show and --show-dir need default_hooks.visualization, which is missing in {cfg.filename}')
    cfg.default_hooks.visualization.draw = True
    if show:
        cfg.default_hooks.visualization.update(show=True, wait_time=wait_time)
    if show_dir:
        cfg.visualizer.save_dir = show_dir


def draw_confusions(cfg: Config) -> Optional[str]:
    """Make the metrics of fine classes draw their confusion matrix; returns the last one's file."""
    path = None
    for evaluator in as_list(cfg.test_evaluator):
        if type_name(evaluator) == 'FineGrainedMetric':
            path = evaluator.setdefault('confusion_matrix', os.path.join(cfg.work_dir, 'confusion_matrix.png'))
    return path


def take_label_maps(cfg: Config) -> list[str]:
    """Remove the folders for label maps from mmseg's metrics, which write pictures of one name to one file.

    Returns:
        These folders. A metric that does nothing else (``format_only``) is removed.
    """
    metrics = as_list(cfg.test_evaluator)
    writers = [metric for metric in metrics if type_name(metric) == 'IoUMetric' and metric.get('output_dir')]
    folders = [metric.pop('output_dir') for metric in writers]
    cfg.test_evaluator = [
        metric for metric in metrics if type_name(metric) != 'IoUMetric' or not metric.get('format_only')
    ]
    return folders


def write_submission_only(cfg: Config, out: Optional[str]) -> bool:
    """Keep only the evaluators that write a submission, make them write it, and remove the ground truth.

    Args:
        cfg: The config, in place.
        out: Folder of ``--out``, if given.

    Returns:
        Whether there is such an evaluator. If not, only the label maps are written.

    Raises:
        UsageError: If there is none, and no folder for label maps.
    """
    evaluators = as_list(cfg.test_evaluator)
    cfg.test_evaluator = [evaluator for evaluator in evaluators if type_name(evaluator) in SUBMITTERS]
    if not cfg.test_evaluator and not out:
        raise UsageError(
            f'--format-only needs an evaluator that writes a submission ({", ".join(SUBMITTERS)}), or --out DIR for '
            f'label maps; test_evaluator of {cfg.filename} has {", ".join(map(type_name, evaluators))}'
        )
    for evaluator in cfg.test_evaluator:
        evaluator.update(format_only=True, output_dir=out or os.path.join(cfg.work_dir, 'submission'))
    for part in dataset_parts(cfg.test_dataloader.dataset):
        for key in ('seg_map_path', 'region_map_path'):
            part.get('data_prefix', {}).pop(key, None)
    return bool(cfg.test_evaluator)


def leave_out_what_cannot_be_scored(runner: Runner, wanted: bool) -> None:
    """If the test data have no ground truth, remove the metrics that need it.

    Args:
        runner: Before its test.
        wanted: Whether predictions or drawings of them are requested.

    Raises:
        UsageError: If there is nothing to score and nothing is requested, or only a part of the data has ground truth.
    """
    loop = runner.test_loop
    parts = [part for part in dataset_parts(loop.dataloader.dataset) if len(part)]
    annotated = {_has_ground_truth(part[0]) for part in parts}
    metrics = [metric for metric in loop.evaluator.metrics if not getattr(metric, 'format_only', False)]
    if annotated != {False} or not metrics:
        if len(annotated) > 1:
            raise UsageError('some of the test data have masks or labels and some have none: test them separately')
        return
    names = ', '.join(map(type_name, metrics))
    if not wanted:
        raise UsageError(
            f'the test data have no masks or labels, and {names} nothing to score: add --out DIR or --show-dir DIR to '
            'predict nonetheless, or use demo/image_demo.py, which writes regions and names too'
        )
    print_log(f'the test data have no masks or labels: {names} left out', 'current', logging.WARNING)
    loop.evaluator.metrics = [metric for metric in loop.evaluator.metrics if metric not in metrics]


def _has_ground_truth(item: Any) -> bool:
    samples = item.get('data_samples') if isinstance(item, dict) else None
    sample = samples[0] if isinstance(samples, list) else samples  # a list of views, with --tta
    return sample is None or any(key.startswith('gt_') for key in sample.keys())


def write_figures(path: str, cfg: Config, figures: dict[str, Any], by_class: dict[str, dict[str, Any]]) -> None:
    """Write figures as JSON, in which an undefined figure is null, and a tensor or array is a list."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        value = _as_python(value)
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    content = dict(config=cfg.filename, checkpoint=cfg.load_from, figures=figures, classes=by_class)
    write_whole(path, json.dumps(plain(content), indent=1, ensure_ascii=False, default=str).encode())


def _as_python(value: Any) -> Any:
    return value.tolist() if hasattr(value, 'tolist') else value


def test(args: argparse.Namespace) -> None:
    """Test as the command line says, and print the figures."""
    from mmengine.runner import Runner  # here and below: --help would be slow

    from deepunetto_mm.cli.label_map_hook import LabelMapHook
    from deepunetto_mm.cli.progress_bar import progress_bar
    from deepunetto_mm.guards import resolve_checkpoint

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    require_keys(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    cfg.load_from = resolve_checkpoint(args.checkpoint)
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show, args.show_dir, args.wait_time)
    if args.tta:
        require_keys(cfg, 'tta_model', 'tta_pipeline')
        if type_name(cfg.tta_model) == 'SegTTAModel' and cfg.model.get('region_proposer'):
            raise UsageError(
                f'SegTTAModel of {cfg.filename} averages only the segmentation, and would keep the regions and names '
                "of the last view; set tta_model.type='deepunetto_mm.DeepUNettoTTA'"
            )
        for part in dataset_parts(cfg.test_dataloader.dataset):
            part.pipeline = cfg.tta_pipeline
        cfg.tta_model.module = cfg.model
        cfg.model = cfg.tta_model
    confusion_matrix, submits, folders = None, False, []
    if args.format_only:
        submits = write_submission_only(cfg, args.out)
    else:
        confusion_matrix = draw_confusions(cfg)
        folders = take_label_maps(cfg)
    folders += [args.out] * bool(args.out and not submits)
    initialise_distributed(cfg, args.local_rank)
    fit_to_machine(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(HOOKS.build(dict(type='deepunetto_mm.InferenceHook', bf16=args.bf16)))
    writers = [LabelMapHook(folder) for folder in folders]
    for writer in writers:
        runner.register_hook(writer)
    leave_out_what_cannot_be_scored(runner, bool(folders or args.show or args.show_dir))
    with progress_bar(runner):
        figures = runner.test()
    if not is_main_process():
        return
    by_class: dict[str, dict[str, Any]] = {}
    for metric in runner.test_loop.evaluator.metrics:
        by_class.update(getattr(metric, 'by_class', {}))
    if args.out_metrics:
        write_figures(args.out_metrics, cfg, figures, by_class)
    print(f'\n{cfg.filename} with {cfg.load_from}:')
    for name, value in figures.items():
        value = _as_python(value)
        print(f'  {name:<24} {f"{value:.2f}" if isinstance(value, (int, float)) else value}')
    print(f'log: {runner.log_dir}')
    if args.out_metrics:
        print(f'figures: {args.out_metrics}')
    if confusion_matrix and os.path.isfile(confusion_matrix):
        print(f'confusion matrix: {confusion_matrix}')
    if submits:
        print(f'submission: {cfg.test_evaluator[0].output_dir}')
    elif args.out:
        print(f'predictions: {args.out}')
    for writer in writers:
        if writer.error:
            raise writer.error
    if args.show_dir:
        print(f'pictures: {os.path.join(args.show_dir, "vis_data", "vis_image")}')


def main() -> None:
    args = parse_args()
    from deepunetto_mm.guards import safe_loading

    with one_line_errors(args.traceback), safe_loading(args.trust_checkpoint), quiet_terminal():
        test(args)


if __name__ == '__main__':
    main()
