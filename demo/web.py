"""See predictions in the browser, and correct them: ``python demo/web.py [MODEL | CONFIG CHECKPOINT | FOLDER]``."""

from __future__ import annotations

import argparse
import socket
import threading
import webbrowser
from pathlib import Path
from typing import Any

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.utils.errors import UsageError

HOST = '127.0.0.1'  # this machine alone


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='See predictions in the browser, and correct them.')
    parser.add_argument(
        'model',
        nargs='?',
        default='deepunetto_shapes',
        help='config file; folder that tools/deployment/export.py wrote; or name of a model, as for '
        'demo/image_demo.py --model; default: deepunetto_shapes',
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of a config, or the work directory of its training')
    parser.add_argument(
        '--hub',
        metavar='OWNER/REPOSITORY@COMMIT',
        help='where a model is downloaded from if it is not here; see load_model',
    )
    parser.add_argument('--device', help='device, such as cuda:0 or cpu; default: the GPU if there is one')
    parser.add_argument(
        '--port', type=int, default=8000, help='port of the page on this machine, 0 for a free one; default: 8000'
    )
    parser.add_argument('--max-upload', type=float, default=50, help='megabytes of a picture file; default: 50')
    parser.add_argument('--max-pixels', type=float, default=25, help='millions of pixels of a picture; default: 25')
    parser.add_argument(
        '--examples', type=Path, metavar='FOLDER', help='pictures that the page offers, one after the other'
    )
    parser.add_argument('--no-browser', action='store_true', help='print the address, and open nothing')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='read the checkpoint even if it may execute code'
    )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def open_model(args: argparse.Namespace) -> Any:
    """The network that the command line names.

    Raises:
        UsageError: If it names none, or one without regions.
    """
    from deepunetto_mm.apis import DeepUNettoInferencer, load_model
    from deepunetto_mm.guards.checkpoint import resolve_checkpoint
    from deepunetto_mm.web import ExportedModel, TrainedModel

    title = Path(args.model).stem
    if args.hub and (args.checkpoint is not None or Path(args.model).is_dir()):
        raise UsageError('--hub is for a model by its name, and not for a checkpoint or a folder')
    if args.trust_checkpoint and args.checkpoint is None:
        raise UsageError('--trust-checkpoint is for CONFIG and CHECKPOINT: other models execute no code')
    if args.checkpoint is not None:
        checkpoint = resolve_checkpoint(args.checkpoint)
        return TrainedModel(
            DeepUNettoInferencer(args.model, checkpoint, args.device, False, args.trust_checkpoint), title
        )
    if Path(args.model).suffix == '.py':
        raise UsageError(f'{args.model} is a config: name its checkpoint, too')
    if Path(args.model).is_dir():
        if args.device:
            raise UsageError('--device is not for an exported folder, which runs where onnxruntime does')
        return ExportedModel(args.model)
    return TrainedModel(load_model(args.model, device=args.device, show_progress=False, hub=args.hub), title)


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        try:
            import uvicorn

            from deepunetto_mm.utils.picture_files import pictures_of_folder
            from deepunetto_mm.web import Gallery, Limits, Review, make_app
        except ImportError as error:
            raise UsageError(f'the page needs fastapi and uvicorn: pip install -e .[web] ({error})') from error
        if args.examples and not args.examples.is_dir():
            raise UsageError(f'--examples {args.examples} is not a folder')
        examples = pictures_of_folder(args.examples, print) if args.examples else []
        limits = Limits(upload=int(args.max_upload * 1e6), pixels=int(args.max_pixels * 1e6))
        model = open_model(args)
        gallery = Gallery(model, limits)
        review = None if args.checkpoint is None else Review(model.inferencer, gallery.lock)  # a config names data
        app = make_app(gallery, review, examples)
        try:
            listening = socket.create_server((HOST, args.port))
        except (OSError, OverflowError) as error:
            raise UsageError(f'port {args.port} cannot be used ({error}); name another one with --port') from error
        address = f'http://{HOST}:{listening.getsockname()[1]}'
        print(f'the page is at {address}; Ctrl-C ends it, and what is not saved is lost', flush=True)
        if not args.no_browser:
            opener = threading.Timer(1, webbrowser.open, [address])
            opener.daemon = True
            opener.start()
        uvicorn.Server(uvicorn.Config(app, log_level='warning')).run(sockets=[listening])


if __name__ == '__main__':
    main()
