"""The effect of a setting: ``python tools/analysis_tools/ablate.py CONFIG --vary 'NAME: KEY=VALUE' --seeds 0 1 2``."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from prettytable import PrettyTable, TableStyle

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.run_logs import read_log_lines
from deepunetto_mm.cli.runtime import available_cores
from deepunetto_mm.cli.terminal import mean_and_spread
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.utils.shipped_configs import resolve_config

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'
UNCHANGED = 'as configured'


@dataclass(frozen=True)
class Variant:
    """A row of the table: a config, and its changed settings."""

    name: str
    config: str
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, config: str) -> Variant:
        """Read ``'NAME: [OTHER_CONFIG.py] [KEY=VALUE ...]'``.

        Raises:
            UsageError: If it has another form.
        """
        name, colon, rest = text.partition(':')
        words = shlex.split(rest)
        if words and '=' not in words[0]:
            config = words.pop(0)
        if not name.strip() or not colon or not rest.strip() or not all('=' in word for word in words):
            raise UsageError(
                f"--vary takes 'NAME: KEY=VALUE ...' or 'NAME: OTHER_CONFIG.py KEY=VALUE ...', got {text!r}"
            )
        return cls(name.strip(), config, tuple(words))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train a config and variants of it, each with the same budget and every seed; print the figures of '
        'the last validation as a table. A finished run is not repeated, an interrupted one is resumed.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--vary',
        nargs='+',
        default=[],
        metavar="'NAME: KEY=VALUE ...'",
        help="variants, each one argument; 'NAME: OTHER_CONFIG.py' for another config",
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--metrics', nargs='+', default=['mIoU', 'fine/recognition'], help='columns of the table')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time, which share the cores')
    parser.add_argument('--work-dir', help='default: work_dirs/ablation_<name of the config>')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='settings of every run')
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def run(variant: Variant, seed: int, options: list[str], folder: Path, threads: int) -> dict[str, float]:
    """Train and validate in a separate process, or read the result of an earlier call.

    Args:
        variant: What to train.
        seed: Seed of everything.
        options: Settings of all variants; the variant's own override them.
        folder: Work directory of this run; ``figures.json`` in it means that the run is finished.
        threads: Threads of the process.

    Returns:
        The figures of the last validation, and ``seconds``.

    Raises:
        UsageError: If the folder contains a run of another command, or training failed.
    """
    command = [variant.config, '--cfg-options', *options, *variant.options, f'randomness.seed={seed}']
    folder.mkdir(parents=True, exist_ok=True)
    order, result = folder / 'command.txt', folder / 'figures.json'
    if order.is_file() and order.read_text() != shlex.join(command):
        raise UsageError(
            f'{folder} contains a run of another command, see {order}; delete it or use another --work-dir'
        )
    order.write_text(shlex.join(command))
    if result.is_file():
        return json.loads(result.read_text())
    begin, log = time.monotonic(), folder / 'log.txt'
    with open(log, 'a') as stream:
        status = subprocess.run(
            [sys.executable, str(TRAIN), *command, '--work-dir', str(folder), '--resume'],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={'OMP_NUM_THREADS': str(threads), **os.environ},
        ).returncode
    if status:
        raise UsageError(f'{variant.name}, seed {seed}: training ended with status {status}; see the end of {log}')
    figures = {**last_validation(folder), 'seconds': time.monotonic() - begin}
    write_whole(result, json.dumps(figures, indent=1).encode())
    return figures


def last_validation(folder: Path) -> dict[str, float]:
    """Figures of the newest validation in the logs of a work directory.

    Raises:
        UsageError: If there is none.
    """
    entries = [json.loads(line) for line in read_log_lines(folder)]
    # Training writes a learning rate, validation does not.
    validations = [entry for entry in entries if 'lr' not in entry]
    if not validations:
        raise UsageError(
            f'no validation in the logs of {folder}; set train_cfg.val_interval so that the last one is validated'
        )
    return {key: value for key, value in validations[-1].items() if key not in ('step', 'time', 'data_time')}


def make_table(figures: dict[str, list[dict[str, float]]], metrics: list[str]) -> str:
    """A Markdown table: a row for each variant, with the figures of each of its seeds."""
    table = PrettyTable(['', *metrics, 'minutes'])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'l'
    for name, runs in figures.items():
        cells = [mean_and_spread([one.get(metric) for one in runs]) for metric in metrics]
        table.add_row([name, *cells, f'{statistics.fmean(one["seconds"] for one in runs) / 60:.1f}'])
    return table.get_string()


def ablate(args: argparse.Namespace) -> None:
    """Run the missing trainings, and print the table."""
    variants = [Variant(UNCHANGED, args.config), *(Variant.parse(text, args.config) for text in args.vary)]
    slugs = [re.sub(r'\W+', '-', variant.name).strip('-').lower() for variant in variants]
    if len(set(slugs)) < len(slugs):
        raise UsageError(f'--vary needs names that differ in letters or digits, got {[v.name for v in variants]}')
    if args.jobs < 1:
        raise UsageError(f'--jobs must be at least 1, got {args.jobs}')
    root = Path(args.work_dir or Path('work_dirs') / f'ablation_{Path(resolve_config(args.config)).stem}')
    threads = max(1, available_cores() // args.jobs)
    # Seed by seed: after the first round there is a preliminary table.
    tasks = [
        (seed, variant, root / slug / f'seed{seed}') for seed in args.seeds for variant, slug in zip(variants, slugs)
    ]

    def one(task: tuple[int, Variant, Path]) -> dict[str, float]:
        seed, variant, folder = task
        figures = run(variant, seed, args.cfg_options, folder, threads)
        shown = ', '.join(f'{metric} {figures[metric]:.2f}' for metric in args.metrics if metric in figures)
        print(f'{variant.name}, seed {seed}: {shown}', flush=True)
        return figures

    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(one, tasks))
    rows: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in variants}
    for (_, variant, _), figures in zip(tasks, results):
        rows[variant.name].append(figures)
    print(make_table(rows, args.metrics))


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        ablate(args)


if __name__ == '__main__':
    main()
