"""Segment pictures and name their regions: ``python demo/image_demo.py PICTURE CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
from collections import Counter

from deepunetto_mm.cli.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment pictures and name their regions.')
    parser.add_argument('picture', help='a picture, or a folder of pictures')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of the trained model, or the work directory of its training')
    parser.add_argument('--out-dir', default='outputs', help='folder for JSON, label maps, drawings; default: outputs')
    parser.add_argument('--device', help='device, such as cuda:0 or cpu; default: the GPU if there is one')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures of equal size per forward pass; default: 1')
    parser.add_argument('--bf16', action='store_true', help='compute in bfloat16: faster, slightly different results')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--no-progress', action='store_true', help='no progress bar')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='read the checkpoint even if it may execute code'
    )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        from deepunetto_mm.apis import DeepUNettoInferencer  # not for --help, which they would slow down
        from deepunetto_mm.guards.checkpoint import resolve_checkpoint

        checkpoint = resolve_checkpoint(args.checkpoint)
        inferencer = DeepUNettoInferencer(
            args.config, checkpoint, args.device, not args.no_progress, args.trust_checkpoint, args.bf16
        )
        for result in inferencer(args.picture, out_dir=args.out_dir, batch_size=args.batch_size, show=args.show):
            counts = Counter(region['fine_class'] for region in result['regions'])
            found = ', '.join(f'{count} {name}' for name, count in counts.most_common()) or 'nothing'
            print(f'{result["picture"]}: {found}; {result["files"]["visualization"]}')


if __name__ == '__main__':
    main()
