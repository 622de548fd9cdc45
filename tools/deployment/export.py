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
    parser.add_argument(
        '--int8',
        metavar='DIR',
        help='also write graphs whose convolutions compute in int8, calibrated with at most 64 pictures of this folder',
    )
    parser.add_argument(
        '--single-graph',
        action='store_true',
        help='also write pipeline.onnx, which does all in one graph',
    )
    add_common_options(parser)
    return parser.parse_args()


def export(args: argparse.Namespace) -> None:
    """Export as the command line says, and print what was compared."""
    # Not for --help, which they would slow down.
    import torch

    from deepunetto_mm.apis import DeepUNettoInferencer
    from deepunetto_mm.deployment import calibration_pictures, export_onnx, quantise
    from deepunetto_mm.guards.checkpoint import resolve_checkpoint

    pictures = calibration_pictures(args.int8) if args.int8 else []  # first, since the export takes a minute
    cfg = load_config(args.config, args.cfg_options)
    checkpoint = resolve_checkpoint(args.checkpoint)
    inferencer = DeepUNettoInferencer(cfg, checkpoint, 'cpu', False, args.trust_checkpoint)
    differences = export_onnx(inferencer, args.out, args.single_graph)
    rounded = quantise(args.out, pictures, torch.get_num_threads()) if pictures else None
    for name in sorted(Path(args.out).iterdir()):
        print(f'{name}: {name.stat().st_size / 1e6:.1f} MB')
    print('compared with the network, all labels equal:')
    for item in differences:
        print(f'  {item.picture}, {item.regions} regions: largest difference of a score {item.largest:.1g}')
    if rounded:
        print(
            f'int8 beside float on the {rounded.pictures} pictures of the calibration: {rounded.pixels:.3%} of the '
            f'pixels have another label; of {rounded.regions} regions {rounded.lost} are lost, {rounded.added} are '
            f'new, and {rounded.renamed} have another name'
        )
    if args.pictures:
        compare_on(args.pictures, inferencer, args.out, bool(rounded))


def compare_on(pictures: str, inferencer: Any, out: str, int8: bool) -> None:
    """Print the regions that differ on the user's pictures, and the time of each."""
    import torch

    from deepunetto_mm.runtime import OnnxPredictor

    predictors = [OnnxPredictor(out, threads=torch.get_num_threads(), int8=kind) for kind in (False, True)[: 1 + int8]]
    results, milliseconds = [], []
    for predict in (inferencer, *predictors):
        list(predict.stream(pictures))  # the first time, memory is allocated and files are read
        start = time.perf_counter()
        results.append(list(predict.stream(pictures)))
        milliseconds.append(1000 * (time.perf_counter() - start) / len(results[-1]))
    number = different = 0
    largest = 0.0
    for ours, theirs in zip(*results[:2]):
        number += len(ours['regions'])
        different += abs(len(ours['regions']) - len(theirs['regions']))
        for a, b in zip(ours['regions'], theirs['regions']):
            different += any(a[key] != b[key] for key in ('bbox', 'group', 'fine_class', 'mask'))
            largest = max(largest, abs(a['score'] - b['score']), abs(a['fine_score'] - b['fine_score']))
    print(
        f'{len(results[0])} pictures of {pictures}: {different} of {number} regions differ, largest difference of a '
        f'rounded score {largest:.1g}; {milliseconds[0]:.1f} ms a picture by torch, {milliseconds[1]:.1f} by ONNX'
        + (f', {milliseconds[2]:.1f} in int8' if int8 else '')
    )


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        export(args)


if __name__ == '__main__':
    main()
