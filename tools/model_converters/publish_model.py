"""Make an entry of the model zoo from a run: ``python tools/model_converters/publish_model.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.run_logs import read_log_lines
from deepunetto_mm.cli.runtime import add_common_options, load_config
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.version import __version__


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Write weights and NAME.json for load_model, and the log of the run.')
    parser.add_argument('config', help='config file of the training, or deepunetto_mm::NAME')
    parser.add_argument('checkpoint', help='its checkpoint, or its work directory, whose newest checkpoint is used')
    parser.add_argument('--name', help='name of the model; default: the name of the config')
    parser.add_argument('--data', required=True, help='what it was trained on, in words')
    parser.add_argument('--licence', required=True, help='licence of that data, such as CC0-1.0')
    parser.add_argument(
        '--figures', metavar='FILE.json', help='its figures, as tools/test.py --out-metrics FILE.json writes them'
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='store large weights in 8 bits, with a scale for each channel, instead of in float16: half the size; '
        'test the file with tools/test.py afterwards',
    )
    parser.add_argument('--out', default='models', metavar='DIR', help='folder of entries; default: models')
    add_common_options(parser)
    return parser.parse_args()


def publish(args: argparse.Namespace) -> None:
    """Write the entry as the command line says."""
    from deepunetto_mm.apis.model_zoo import write_model  # not for --help, which these would slow down
    from deepunetto_mm.guards import resolve_checkpoint

    cfg = load_config(args.config, args.cfg_options)
    origin = dict(
        config=Path(cfg.filename).name, data=args.data, licence=args.licence, versions=dict(deepunetto_mm=__version__)
    )
    if args.figures:
        origin['figures'] = json.loads(Path(args.figures).read_text(encoding='utf-8'))['figures']
    name = args.name or Path(cfg.filename).stem
    checkpoint = resolve_checkpoint(args.checkpoint)
    path = write_model(cfg, checkpoint, args.out, name, origin, args.trust_checkpoint, args.int8)
    weights = path.with_name(json.loads(path.read_text(encoding='utf-8'))['weights'])
    lines = read_log_lines(Path(checkpoint).parent)
    if lines:
        write_whole(path.with_name(f'{name}.log.jsonl'), ''.join(f'{line}\n' for line in lines).encode())
    print(f'{path}: its weights are {weights}, {weights.stat().st_size / 1e6:.1f} MB')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        publish(args)


if __name__ == '__main__':
    main()
