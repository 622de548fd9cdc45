"""Segment pictures and name their regions: ``python demo/image_demo.py PICTURE CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.terminal import quiet_terminal
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import printable

EXAMPLES = 6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment pictures and name their regions.')
    parser.add_argument(
        'picture', nargs='?', help='a picture, or a folder of pictures; default: scenes of shapes, which are drawn'
    )
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint of the trained model, or the work directory of its training'
    )
    parser.add_argument(
        '--model',
        metavar='NAME',
        help='instead of config and checkpoint: a model of the package, of the folder models, or a file NAME.json; '
        'default: deepunetto_shapes',
    )
    parser.add_argument(
        '--hub',
        metavar='OWNER/REPOSITORY@COMMIT',
        help='where a model is downloaded from if it is not here; see load_model',
    )
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


def make_inferencer(args: argparse.Namespace) -> Any:
    """The model that the command line names.

    Raises:
        UsageError: If it names none, or two.
    """
    from deepunetto_mm.apis import DeepUNettoInferencer, load_model  # not for --help, which they would slow down
    from deepunetto_mm.guards.checkpoint import resolve_checkpoint

    if args.config is None:
        if args.trust_checkpoint:
            raise UsageError('--trust-checkpoint is for CONFIG and CHECKPOINT: a model by its name executes no code')
        return load_model(
            args.model or 'deepunetto_shapes',
            device=args.device,
            show_progress=not args.no_progress,
            bf16=args.bf16,
            hub=args.hub,
        )
    if args.model or args.hub or args.checkpoint is None:
        raise UsageError('give CONFIG and CHECKPOINT, or --model NAME, perhaps with --hub')
    checkpoint = resolve_checkpoint(args.checkpoint)
    return DeepUNettoInferencer(
        args.config, checkpoint, args.device, not args.no_progress, args.trust_checkpoint, args.bf16
    )


def draw_examples(folder: Path, inferencer: Any) -> str:
    """Draw scenes that the training has not seen; returns the folder.

    Raises:
        UsageError: If the model knows other classes.
    """
    from deepunetto_mm.datasets import RodConeShapes
    from deepunetto_mm.utils.files import write_png

    scenes = RodConeShapes(num_scenes=EXAMPLES, seed=2)
    if inferencer.taxonomy != scenes.taxonomy:
        raise UsageError('the model does not know the shapes of the example scenes: name a picture')
    for index in range(EXAMPLES):
        write_png(folder / f'scene{index}.png', scenes[index]['img'])
    return str(folder)


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), quiet_terminal():
        inferencer = make_inferencer(args)
        pictures = args.picture or draw_examples(Path(args.out_dir) / 'pictures', inferencer)
        for result in inferencer(pictures, out_dir=args.out_dir, batch_size=args.batch_size, show=args.show):
            counts = Counter(region['fine_class'] for region in result['regions'])
            found = ', '.join(f'{count} {name}' for name, count in counts.most_common()) or 'nothing'
            print(printable(f'{result["picture"]}: {found}; {result["files"]["visualization"]}'))


if __name__ == '__main__':
    main()
