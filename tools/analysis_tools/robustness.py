"""Robustness to other colours, stains and scales: ``python tools/analysis_tools/robustness.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config, ConfigDict
from prettytable import PrettyTable, TableStyle

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import add_common_options, fit_to_machine, load_config, require_keys
from deepunetto_mm.utils.config_parts import dataset_parts, type_name
from deepunetto_mm.utils.errors import UsageError

UNCHANGED = 'unchanged'
CHANGES = ['hue=30', 'hue=90', 'hue=180', 'saturation=0.5', 'saturation=0']
CHANGES += ['brightness=0.5', 'brightness=0.75', 'brightness=1.25', 'brightness=1.5']
# What each option inserts into the pipeline, and the argument that takes its number, if it has another name.
OPTIONS: dict[str, dict[str, Any]] = {
    **{
        name: dict(type='deepunetto_mm.ColourShift') for name in ('hue', 'saturation', 'brightness', 'contrast', 'tint')
    },
    **{name: dict(type='deepunetto_mm.StainShift') for name in ('stain', 'haematoxylin', 'eosin')},
    'erythrocytes': dict(type='deepunetto_mm.AddErythrocytes'),
    'blur': dict(type='mmpretrain.GaussianBlur', prob=1.0),
    'scale': dict(type='Resize'),
}
ARGUMENTS = dict(erythrocytes='number', blur='radius', scale='scale_factor')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Test checkpoints on the unchanged test pictures, and with each change of them; print the figures '
        'as one table. See deepunetto_mm.ColourShift, StainShift and AddErythrocytes.'
    )
    parser.add_argument(
        'pairs',
        nargs='+',
        metavar='CONFIG CHECKPOINT',
        help='a config and its checkpoint or work directory; further pairs are further columns',
    )
    parser.add_argument(
        '--changes',
        nargs='+',
        default=CHANGES,
        metavar='OPTION=NUMBER',
        help='hue=DEGREES, a FACTOR of saturation, brightness, contrast, tint (blue), stain, haematoxylin, eosin or '
        f'scale, blur=PIXELS, erythrocytes=NUMBER; each is a row; default: {" ".join(CHANGES)}',
    )
    parser.add_argument('--metrics', nargs='+', default=['mIoU', 'fine/recognition'], help='columns of the table')
    parser.add_argument('--work-dir', help='folder for the logs; default: work_dirs/<name of the config>')
    add_common_options(parser)
    return parser.parse_args()


def parse_change(text: str) -> dict[str, Any]:
    """Read ``'OPTION=NUMBER'`` as the config of a transform.

    Raises:
        UsageError: If there is no such option, or its value is not a number.
        ValueError: If the transform does not take the number.
    """
    name, _, value = text.partition('=')
    try:
        change = {**OPTIONS[name], ARGUMENTS.get(name, name): float(value)}
    except (KeyError, ValueError):
        raise UsageError(
            f'--changes takes OPTION=NUMBER, with an option of {", ".join(OPTIONS)}; got {text!r}'
        ) from None
    if name in ('blur', 'scale') and not 0 < float(value) < 100:
        raise UsageError(f'--changes: {name} must be above 0 and below 100, got {text!r}')
    from deepunetto_mm.registry import TRANSFORMS  # here and below: --help would be slow

    TRANSFORMS.build(change)  # raise an error now, not after the first test
    return change


def insert_change(loader: ConfigDict, change: dict[str, Any]) -> ConfigDict:
    """A copy of a data loader's config that changes the picture directly after loading.

    If the dataset generates its pictures, the change comes first. Red blood cells come after the regions, which they
    leave out.

    Raises:
        UsageError: If the dataset has no pipeline.
    """
    loader = deepcopy(loader)
    for part in {id(part): part for part in dataset_parts(loader.dataset)}.values():
        if part.get('pipeline') is None:
            raise UsageError(f'test_dataloader.dataset, a {type_name(part)}, has no pipeline to insert a change into')
        kind = 'Load' if change['type'] == 'deepunetto_mm.AddErythrocytes' else r'Load\w*Image'
        loads = [i for i, step in enumerate(part.pipeline) if re.search(kind, type_name(step))]
        place = 0 if not loads else loads[-1] + 1 if kind == 'Load' else loads[0] + 1
        part.pipeline.insert(place, dict(change))
    return loader


def test_changes(cfg: Config, changes: dict[str, dict[str, Any]], metrics: list[str]) -> dict[str, dict[str, float]]:
    """Load the model once, and test it on the unchanged pictures and on each change of them.

    Args:
        cfg: A config whose ``load_from`` is the checkpoint.
        changes: By name.
        metrics: Figures to print after each test.

    Returns:
        The figures, by the name of the change; the first are ``'unchanged'``.
    """
    from mmengine.runner import Runner

    loaders = {name: insert_change(cfg.test_dataloader, change) for name, change in changes.items()}
    runner = Runner.from_cfg(cfg)
    figures = {}
    for name in (UNCHANGED, *changes):
        if name != UNCHANGED:
            runner.test_loop.dataloader = runner.build_dataloader(loaders[name], seed=runner.seed)
        figures[name] = runner.test()
        shown = ', '.join(f'{metric} {figures[name][metric]:.2f}' for metric in metrics if metric in figures[name])
        print(f'{Path(cfg.filename).stem}, {name}: {shown}', flush=True)
    return figures


def make_table(figures: dict[str, dict[str, dict[str, float]]], metrics: list[str]) -> str:
    """A Markdown table of figures by label, change and metric: a row for each change; a dash if a figure is absent."""
    columns = [(label, metric) for label in figures for metric in metrics]
    names = [f'{label} {metric}' if len(figures) > 1 else metric for label, metric in columns]
    table = PrettyTable(['', *names])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'l'
    for change in next(iter(figures.values())):
        values: list[Optional[float]] = [figures[label][change].get(metric) for label, metric in columns]
        table.add_row([change, *('–' if value is None else f'{value:.2f}' for value in values)])
    return table.get_string()


def measure(args: argparse.Namespace) -> None:
    """Test every pair, and print the table."""
    from deepunetto_mm.guards import resolve_checkpoint

    if len(args.pairs) % 2:
        raise UsageError(f'every config needs its checkpoint: CONFIG CHECKPOINT ..., got {" ".join(args.pairs)}')
    changes = {text: parse_change(text) for text in args.changes}
    cfgs = {}
    stems = [Path(config).stem for config in args.pairs[::2]]
    for stem, path, checkpoint in zip(stems, args.pairs[::2], args.pairs[1::2]):
        cfg = load_config(path, args.cfg_options, args.work_dir)
        require_keys(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
        cfg.load_from = resolve_checkpoint(checkpoint)
        cfg.log_level = 'WARNING'  # otherwise the table would be lost among those of every test
        cfg.get('visualizer', {}).pop('name', None)  # with the same name, the second Runner would reuse the first's
        fit_to_machine(cfg)
        cfgs[stem if stems.count(stem) == 1 else f'{stem} {checkpoint}'] = cfg
    figures = {label: test_changes(cfg, changes, args.metrics) for label, cfg in cfgs.items()}
    print(make_table(figures, args.metrics))


def main() -> None:
    args = parse_args()
    from deepunetto_mm.guards import safe_loading

    with one_line_errors(args.traceback), safe_loading(args.trust_checkpoint):
        measure(args)


if __name__ == '__main__':
    main()
