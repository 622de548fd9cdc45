"""Export a trained network to ONNX: ``python tools/deployment/export.py CONFIG CHECKPOINT OUT``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Callable, Iterator

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
    from deepunetto_mm.utils.picture_files import pictures_of_folder

    # First, since the export takes a minute.
    pictures = calibration_pictures(args.int8) if args.int8 else []
    if args.pictures:
        pictures_of_folder(Path(args.pictures), lambda message: None)
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
        compare_on(args.pictures, inferencer, args.out, bool(rounded), args.single_graph)


def compare_on(pictures: str, inferencer: Any, out: str, int8: bool = False, single_graph: bool = False) -> None:
    """Print the regions that differ on the user's pictures, and the time of each."""
    import torch

    from deepunetto_mm.runtime import OnnxPredictor

    threads = torch.get_num_threads()
    # The time of the process does not depend on other programs on the same core.
    clock = time.process_time if threads == 1 else time.perf_counter
    ways = dict(torch=inferencer.stream)
    for name, kind in (('ONNX', False), ('int8', True))[: 1 + int8]:
        ways[name] = OnnxPredictor(out, threads=threads, int8=kind).stream
    if single_graph:
        ways['one graph'] = _stream_of_single(out, threads)
    results, milliseconds = [], []
    for predict in ways.values():
        list(predict(pictures))  # the first time, memory is allocated and files are read
        start = clock()
        results.append(list(predict(pictures)))
        milliseconds.append(1000 * (clock() - start) / len(results[-1]))
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
        f'rounded score {largest:.1g}; milliseconds a picture: '
        + ', '.join(f'{name} {each:.1f}' for name, each in zip(ways, milliseconds))
    )


def _stream_of_single(out: str, threads: int) -> Callable[[str], Iterator[Any]]:
    """What gives the arrays of ``pipeline.onnx`` for each picture of a folder."""
    import onnxruntime

    from deepunetto_mm.utils.picture_files import pictures_of_folder, read_picture

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(Path(out) / 'pipeline.onnx'), options, providers=['CPUExecutionProvider']
    )

    def stream(pictures: str) -> Iterator[Any]:
        for path in pictures_of_folder(Path(pictures), lambda message: None):  # the ways before have warned
            yield session.run(None, dict(picture=read_picture(path)[None, ..., ::-1]))

    return stream


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        export(args)


if __name__ == '__main__':
    main()
