"""Masks for named pictures: ``python tools/dataset_converters/threshold_masks.py IMAGES --out-dir OUT``."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.threshold_masks.thresholding import (
    POLARITIES,
    THRESHOLD_CHANNELS,
    THRESHOLD_METHODS,
    ThresholdOptions,
)
from deepunetto_mm.utils.errors import UsageError


def parse_args() -> argparse.Namespace:
    default = {field.name: field.default for field in dataclasses.fields(ThresholdOptions)}
    parser = argparse.ArgumentParser(
        description='Write masks made from brightness, in the layout of CoarseFineDataset. See docs/threshold_masks.md.'
    )
    parser.add_argument('images', help='folder of pictures, with a folder for each fine class unless --table is given')
    parser.add_argument('--out-dir', help='output folder for images/, masks/, labels.csv, taxonomy.json, quality.csv')
    parser.add_argument('--table', help='CSV with the columns image and fine_class (or fine_id), optionally split')
    parser.add_argument('--classes', help='CSV with the columns fine and coarse, optionally fine_id and coarse_id')
    parser.add_argument('--group', default='object', help='the generic class of all pictures, without --classes')
    parser.add_argument('--split', help='the split of these pictures; if the table has a column split, only its rows')
    parser.add_argument('--suffix', help='suffix of the pictures; default: the common suffix of all of them')
    parser.add_argument('--copy', action='store_true', help='copy pictures; default: symbolic links')
    parser.add_argument('--min-quality', type=float, default=0.0, help='leave out pictures with a lower score, 0..1')
    parser.add_argument('--skip-errors', action='store_true', help='list unreadable pictures and continue')
    parser.add_argument('--workers', type=int, default=1, help='number of pictures processed at the same time')
    parser.add_argument('--sheet', type=int, default=48, help='pictures on sheet.png, worst to best; 0: none')
    parser.add_argument('--compare', metavar='MASKS', help="write nothing, print the IoU with these experts' masks")
    parser.add_argument('--foreground', type=int, nargs='+', default=[1], help='mask values of the object to compare')
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    how = parser.add_argument_group('options of a mask (see ThresholdOptions)')
    how.add_argument('--method', choices=THRESHOLD_METHODS, default=default['method'])
    how.add_argument('--channel', choices=[*THRESHOLD_CHANNELS, 'auto'], default=default['channel'])
    how.add_argument('--polarity', choices=POLARITIES, default=default['polarity'])
    for name in ('drop-border', 'fill-holes', 'keep-largest'):
        how.add_argument(f'--{name}', action=argparse.BooleanOptionalAction, default=default[name.replace('-', '_')])
    for name in ('min-part', 'block-share', 'margin'):
        how.add_argument(f'--{name}', type=float, default=default[name.replace('-', '_')])
    how.add_argument('--area-range', type=float, nargs=2, default=default['area_range'], metavar=('LOW', 'HIGH'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        try:
            if bool(args.out_dir) == bool(args.compare):
                raise UsageError('give either --out-dir, to write masks, or --compare, to measure them')
            if not 0 <= args.min_quality <= 1:
                raise UsageError(f'--min-quality must be from 0 to 1, got {args.min_quality}')
            from deepunetto_mm.threshold_masks import converter  # not for --help, which it would slow down

            (converter.compare if args.compare else converter.convert)(args)
        except KeyboardInterrupt:
            print('interrupted; repeat the command to continue', file=sys.stderr)
            raise SystemExit(130) from None


if __name__ == '__main__':
    main()
