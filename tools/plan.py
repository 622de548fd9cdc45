"""From a folder of pictures to a config, and on to a model: ``python tools/plan.py DATA --train``."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.heap import give_back_freed_memory, keep_freed_memory
from deepunetto_mm.cli.runtime import available_cores
from deepunetto_mm.cli.terminal import mean_and_spread, quiet_terminal
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import read_json, read_text, write_whole

if TYPE_CHECKING:
    from deepunetto_mm.planning import PlanOptions
    from deepunetto_mm.planning.report import Plan

FIGURES = (
    'picture/fine',
    'picture/generic',
    'mIoU',
    'fine/recognition',
    'fine/top1',
    'fine/PQ',
    'instance/AP50',
    'composed/mIoU',
)

# Options of PlanOptions with another name on the command line.
_FLAGS = dict(form='--format', renamed='--rename', start='--from', any_way_up='--upright or --any-way-up')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Look at pictures and their annotations, and write a config for them. See docs/plan.md.'
    )
    parser.add_argument('data', help='folder of pictures and annotations')
    parser.add_argument('--minutes', type=float, default=30.0, help='time for the training; default: 30')
    parser.add_argument('--name', help='name of the config; default: that of the folder')
    parser.add_argument('--train', action='store_true', help='go on: train and test')
    parser.add_argument(
        '--format',
        choices=('predictions', 'labelme', 'coco', 'cvat', 'yolo', 'object_masks', 'folders', 'class_folders'),
        help='of the annotations',
    )
    parser.add_argument('--masks-are', choices=('classes', 'ids'), help='what the values of masks are')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='names of the mask values, from 0 on')
    parser.add_argument('--rename', nargs='+', default=[], metavar='OLD=NEW', help='other names for labels')
    parser.add_argument('--fine-key', help='attribute of the annotations that has the fine class')
    parser.add_argument('--group-by', metavar='PATTERN', help='pictures with the same match stay in one split')
    parser.add_argument('--new-split', action='store_true', help='draw a split, though the folders have one')
    parser.add_argument(
        '--folds', type=int, default=1, metavar='N', help='train N times, and validate on every picture'
    )
    turned = parser.add_mutually_exclusive_group()
    turned.add_argument('--upright', dest='any_way_up', action='store_false', help='objects are never turned')
    turned.add_argument('--any-way-up', action='store_true', help='objects may be turned by any angle')
    parser.set_defaults(any_way_up=None)
    parser.add_argument('--encoder', choices=('efficientnet-lite0', 'scratch'), help='the encoder')
    parser.add_argument('--luminance', action='store_true', help='the segmentation sees brightness only')
    parser.add_argument('--from', dest='start', metavar='CHECKPOINT', help='go on from a network of other classes')
    parser.add_argument('--without-faulty', action='store_true', help='leave out pictures with errors, and go on')
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def plan(args: argparse.Namespace) -> int:
    """Plan as the command line says; returns the exit status."""
    from deepunetto_mm.guards.checkpoint import find_checkpoint, resolve_checkpoint  # not for --help: it takes seconds

    args.start = args.start and resolve_checkpoint(args.start)
    if not args.minutes > 0:
        raise UsageError(f'--minutes must be above 0, got {args.minutes}')
    if any('=' not in pair for pair in args.rename):
        raise UsageError(f'--rename takes OLD=NEW, got {args.rename}')
    name = args.name or re.sub(r'\W+', '_', Path(args.data).resolve().name).strip('_') or 'mine'
    if not re.fullmatch(r'[\w-]+', name):
        raise UsageError(f'--name {name!r} is not a file name of letters, digits, - and _')
    if args.folds < 1:
        raise UsageError(f'--folds must be at least 1, got {args.folds}')
    work_dir = Path('work_dirs') / name
    config = work_dir / 'plan' / f'{name}.py'
    runs = [(config, work_dir)]
    if args.folds > 1:
        runs = [(config.with_name(f'{name}_fold{i}.py'), work_dir / f'fold{i}') for i in range(1, args.folds + 1)]
    if not any(find_checkpoint(str(folder)) for folder in (work_dir, *work_dir.glob('fold*'))):
        made = make(args, work_dir, name)
        print(made.to_text())
        if made.config is None:
            way_out = ', or leave such pictures out by --without-faulty' if made.with_faulty else ''
            print(f'fix these{way_out}', file=sys.stderr)
            return 1
    elif args.train and config.is_file():
        require_as_planned(args, read_json(str(config.with_name('plan.json'))), work_dir)
        print(
            f'{work_dir} has a training by {config}, which goes on, without pictures that came since; give another '
            '--name for another plan'
        )
    elif args.train:
        raise UsageError(f'{work_dir} has a training, but not by a plan: give another --name')
    else:
        raise UsageError(f'{work_dir} has a training already: give --train to go on with it, or another --name')
    give_back_freed_memory()  # of the steps that were timed: the training needs as much
    tools = Path(__file__).resolve().parent
    # Of the environment that has the packages, whether it is active or not.
    python = min(sys.executable, os.path.relpath(sys.executable), key=len)
    figures = []
    for config, folder in runs:
        train = [sys.executable, str(tools / 'train.py'), str(config), '--work-dir', str(folder)]
        if not args.train:
            print(f'config: {config}\nnext: {python} {os.path.relpath(train[1])} {config} --work-dir {folder}')
            continue
        tested = folder / 'test'
        test = [sys.executable, str(tools / 'test.py'), str(config), str(folder), '--work-dir', str(tested)]
        test += ['--out-metrics', str(tested / 'figures.json')]
        written = read_text(str(work_dir / 'plan' / f'{name}.py'))
        if 'deepunetto_mm.PictureAccuracy' not in written:  # that of a classifier, which draws nothing
            test += ['--show-dir', str(tested / 'pictures')]
        finished = len(runs) > 1 and (tested / 'figures.json').is_file()
        for command in () if finished else ([*train, '--resume'], test):
            print('==', ' '.join(command[1:]), flush=True)
            status = subprocess.run(command, check=False).returncode
            if status:
                return status
        if len(runs) == 1 and '--show-dir' in test:
            demo = os.path.relpath(tools.parent / 'demo' / 'image_demo.py')
            print(f'next: {python} {demo} NEW_PICTURES {config} {folder} --out-dir {folder / "new"}')
        if len(runs) > 1:
            figures.append(read_json(str(tested / 'figures.json'))['figures'])
    if figures:
        table = fold_table(figures)
        write_whole(work_dir / 'folds.md', table.encode())
        print(f'{table}\n{work_dir / "folds.md"}')
    return 0


def fold_table(figures: Sequence[Mapping[str, Optional[float]]]) -> str:
    """A Markdown table: the figures of each fold, and their mean and spread."""
    from prettytable import PrettyTable, TableStyle

    metrics = [key for key in FIGURES if any(key in one for one in figures)]
    table = PrettyTable(['', *metrics])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'l'
    for number, one in enumerate(figures, start=1):
        table.add_row([f'fold {number}', *(mean_and_spread([one.get(key)]) for key in metrics)])
    table.add_row(['mean ± deviation', *(mean_and_spread([one.get(key) for one in figures]) for key in metrics)])
    return table.get_string() + '\n'


def make(args: argparse.Namespace, work_dir: Path, name: str) -> Plan:
    """The plan of the options."""
    from mmengine.logging import MMLogger

    from deepunetto_mm.planning import make_plan

    MMLogger.get_instance('plan', logger_name='mmengine', log_level='WARNING')  # not a line for each parameter
    return make_plan(args.data, work_dir / 'plan', name, options_of(args))


def options_of(args: argparse.Namespace) -> PlanOptions:
    """What the command line says of the plan."""
    from deepunetto_mm.planning import PlanOptions

    return PlanOptions(
        minutes=args.minutes,
        form=args.format,
        masks_are=args.masks_are,
        classes=args.classes,
        renamed=dict(pair.split('=', 1) for pair in args.rename),
        fine_key=args.fine_key,
        group_by=args.group_by,
        new_split=args.new_split,
        folds=args.folds,
        encoder=args.encoder,
        luminance=args.luminance,
        any_way_up=args.any_way_up,
        start=args.start,
        without_faulty=args.without_faulty,
        cores=available_cores(),
    )


def require_as_planned(args: argparse.Namespace, planned: Mapping[str, Any], work_dir: Path) -> None:
    """Raise UsageError unless a training under way has the data of the command line, and its options.

    Args:
        args: The command line; what it does not give may be as it was planned.
        planned: The content of ``plan.json``.
        work_dir: Of the training.
    """
    if planned.get('root') != str(Path(args.data).resolve()):
        raise UsageError(f'{work_dir} has a training of {planned.get("root")}, not of {args.data}; give another --name')
    options = options_of(args)
    number = planned.get('folds', 1)
    if number != options.folds:
        raise UsageError(f'{work_dir} has a training with --folds {number}; give that, or another --name')
    default = asdict(type(options)(cores=options.cores))
    for key, value in asdict(options).items():
        if value != default[key] and value != planned.get('options', {}).get(key):
            flag = _FLAGS.get(key, f'--{key.replace("_", "-")}')
            raise UsageError(
                f'{work_dir} has a training that was planned with another {flag}: leave it out to go on with that, or '
                'give another --name'
            )


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    with one_line_errors(args.traceback), quiet_terminal():
        raise SystemExit(plan(args))


if __name__ == '__main__':
    main()
