"""Read and check all data of a config: ``python tools/misc/verify_dataset.py CONFIG``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import add_common_options, available_cores, load_config
from deepunetto_mm.utils.files import write_whole

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Read every sample of every split, and report the contents and all errors. Errors make the '
        'exit status 1; warnings may be intended.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=SPLITS, help='which data; default: all')
    parser.add_argument('--out', help='JSON file for the report; default: work_dirs/CONFIG/data_report.json')
    parser.add_argument(
        '--workers', type=int, help='number of reading processes, 0: only this one; default: one per core'
    )
    add_common_options(parser, checkpoint=False)
    return parser.parse_args()


def verify(args: argparse.Namespace) -> int:
    """Verify as the command line says; returns the number of errors."""
    from deepunetto_mm.verification import verify_datasets  # not for --help, which it would slow down

    begin = time.monotonic()
    cfg = load_config(args.config, args.cfg_options)
    workers = available_cores() if args.workers is None else args.workers
    report = verify_datasets(cfg, args.splits, workers)
    out = Path(args.out or Path(cfg.work_dir) / 'data_report.json')
    write_whole(out, report.to_json().encode())
    print(report.to_text())
    print(f'\n{sum(part.read for part in report.splits)} pictures in {time.monotonic() - begin:.1f} s: {out}')
    return report.number('error')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        raise SystemExit(verify(args) > 0)


if __name__ == '__main__':
    main()
