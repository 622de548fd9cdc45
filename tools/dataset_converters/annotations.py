"""Annotations in our layout: ``python tools/dataset_converters/annotations.py DATA --out-dir OUT``."""

from __future__ import annotations

import argparse
from pathlib import Path

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.utils.errors import DataError, UsageError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write pictures and annotations in the layout of CoarseFineDataset; tools/plan.py does so by '
        'itself. See docs/plan.md for what is read.'
    )
    parser.add_argument('data', help='folder of pictures and annotations')
    parser.add_argument('--out-dir', required=True, help='output folder, for images/, masks/, regions/, labels.csv')
    parser.add_argument('--format', help='of the annotations; default: found by looking')
    parser.add_argument('--masks-are', choices=('classes', 'ids'), help='what the values of masks are')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='names of the mask values, from 0 on')
    parser.add_argument('--rename', nargs='+', default=[], metavar='OLD=NEW', help='other names for labels')
    parser.add_argument('--fine-key', help='attribute of the annotations that has the fine class')
    parser.add_argument('--without-faulty', action='store_true', help='leave out pictures with errors')
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def convert(args: argparse.Namespace) -> None:
    """Convert as the command line says."""
    from deepunetto_mm.annotations import FORMATS, read_annotations, write_dataset  # not for --help

    if args.format not in (None, *FORMATS):
        raise UsageError(f'--format {args.format!r} is not one of {list(FORMATS)}')
    if any('=' not in pair for pair in args.rename):
        raise UsageError(f'--rename takes OLD=NEW, got {args.rename}')
    form, found = read_annotations(args.data, args.format, args.masks_are)
    renamed = dict(pair.split('=', 1) for pair in args.rename)
    written = write_dataset(found, Path(args.out_dir), renamed, args.fine_key, args.classes)
    for problem in written.problems:
        print(f'left out: {problem}')
    for note in written.notes:
        print(note)
    print(f'{FORMATS[form].WHAT}: {args.out_dir}, taxonomy in annotations.json')
    if written.problems and not args.without_faulty:
        raise DataError(f'{len(written.problems)} errors; fix them, or give --without-faulty')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        convert(args)


if __name__ == '__main__':
    main()
