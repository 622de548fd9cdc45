"""Annotations in our layout, or for a tool: ``python tools/dataset_converters/annotations.py DATA --out-dir OUT``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.utils.errors import DataError, UsageError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write pictures and annotations, also predictions, in the layout of CoarseFineDataset, or for an '
        'annotation tool (--to). tools/plan.py does the former by itself. See docs/plan.md for what is read.'
    )
    parser.add_argument('data', help='folder of pictures and annotations')
    parser.add_argument('--out-dir', required=True, help='output folder')
    parser.add_argument('--to', choices=('coco', 'cvat', 'labelme', 'yolo'), help='write for this tool')
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
    # Not for --help, which they would slow down.
    from deepunetto_mm.annotations import FORMATS, export_dataset, read_annotations, require_empty, write_dataset

    if args.format not in (None, *FORMATS):
        raise UsageError(f'--format {args.format!r} is not one of {list(FORMATS)}')
    if any('=' not in pair for pair in args.rename):
        raise UsageError(f'--rename takes OLD=NEW, got {args.rename}')
    if args.to:
        require_empty(Path(args.out_dir))  # before the data are read, which may take long
    form, found = read_annotations(args.data, args.format, args.masks_are)
    renamed = dict(pair.split('=', 1) for pair in args.rename)
    with tempfile.TemporaryDirectory() as between:
        root = Path(between) if args.to else Path(args.out_dir)
        written = write_dataset(found, root, renamed, args.fine_key, args.classes)
        for problem in written.problems:
            print(f'left out: {problem}')
        for note in written.notes:
            print(note)
        if written.problems and not args.without_faulty:  # an export would be in the way of the next one
            raise DataError(f'{len(written.problems)} errors; fix them, or give --without-faulty')
        objects = export_dataset(written, args.to, Path(args.out_dir)) if args.to else 0
    what = f'{objects} objects for {args.to}' if args.to else 'taxonomy in classes.json'
    print(f'{FORMATS[form].WHAT}: {args.out_dir}, {what}')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        convert(args)


if __name__ == '__main__':
    main()
