"""Download the pretrained weights of configs beforehand: ``python tools/misc/fetch_weights.py CONFIG ...``."""

from __future__ import annotations

import argparse

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import load_config
from deepunetto_mm.utils.remote_weights import fetch_weights


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Download the weights that configs name, such as torchvision://resnet34, to where training looks '
        'for them: for machines without internet. TORCH_HOME names another place than ~/.cache/torch.'
    )
    parser.add_argument('configs', nargs='+', metavar='config', help='config file')
    parser.add_argument('--traceback', action='store_true', help='show where an error came from')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        for config in args.configs:
            places = fetch_weights(load_config(config))
            for key, place in places.items():
                print(f'{config}: {key}: {place}')
            if not places:
                print(f'{config}: no weights to download')


if __name__ == '__main__':
    main()
