"""Export a trained network to ONNX: ``python tools/deployment/export.py CONFIG CHECKPOINT OUT``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import add_common_options, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Export a trained network to ONNX, and compare it with the network.')
    parser.add_argument('config', help='config file, or deepunetto_mm::NAME')
    parser.add_argument('checkpoint', help='checkpoint, or a work directory, whose newest checkpoint is used')
    parser.add_argument('out', help='folder for model.json, segment.onnx and name.onnx')
    parser.add_argument(
        '--pictures', metavar='DIR', help='also predict these pictures by both, and print what differs and the seconds'
    )
    add_common_options(parser)
    return parser.parse_args()


def export(args: argparse.Namespace) -> None:
    """Export as the command line says, and print what was compared."""
    # Not for --help, which they would slow down.
    from deepunetto_mm.apis import DeepUNettoInferencer
    from deepunetto_mm.deployment import export_onnx
    from deepunetto_mm.guards.checkpoint import resolve_checkpoint

    cfg = load_config(args.config, args.cfg_options)
    checkpoint = resolve_checkpoint(args.checkpoint)
    inferencer = DeepUNettoInferencer(cfg, checkpoint, 'cpu', False, args.trust_checkpoint)
    differences = export_onnx(inferencer, args.out)
    for name in sorted(Path(args.out).iterdir()):
        print(f'{name}: {name.stat().st_size / 1e6:.1f} MB')
    print('compared with the network, all labels equal:')
    for item in differences:
        print(f'  {item.picture}, {item.regions} regions: largest difference of a score {item.largest:.1g}')
    if args.pictures:
        compare_on(args.pictures, inferencer, args.out)


def compare_on(pictures: str, inferencer: Any, out: str) -> None:
    """Print the regions that differ on the user's pictures, and the time of both."""
    import torch

    from deepunetto_mm.runtime import OnnxPredictor

    predictor = OnnxPredictor(out, threads=torch.get_num_threads())
    results, milliseconds = [], []
    for predict in (inferencer, predictor):
        list(predict.stream(pictures))  # the first time, memory is allocated and files are read
        start = time.perf_counter()
        results.append(list(predict.stream(pictures)))
        milliseconds.append(1000 * (time.perf_counter() - start) / len(results[-1]))
    number = different = 0
    largest = 0.0
    for ours, theirs in zip(*results):
        number += len(ours['regions'])
        different += abs(len(ours['regions']) - len(theirs['regions']))
        for a, b in zip(ours['regions'], theirs['regions']):
            different += any(a[key] != b[key] for key in ('bbox', 'group', 'fine_class', 'mask'))
            largest = max(largest, abs(a['score'] - b['score']), abs(a['fine_score'] - b['fine_score']))
    print(
        f'{len(results[0])} pictures of {pictures}: {different} of {number} regions differ, largest difference of a '
        f'rounded score {largest:.1g}; {milliseconds[0]:.1f} ms a picture by torch, {milliseconds[1]:.1f} by ONNX'
    )


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        export(args)


if __name__ == '__main__':
    main()
