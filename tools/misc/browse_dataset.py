"""Draw the input of the network, after augmentation: ``python tools/misc/browse_dataset.py CONFIG``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from rich.progress import track

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import add_common_options, load_config, require_keys
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import PictureNames


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Draw the input of the network, after augmentation.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='which data; default: train')
    parser.add_argument('--out-dir', help='folder for the drawings; default: work_dirs/CONFIG/browse/SPLIT')
    parser.add_argument('--number', type=int, default=20, help='number of samples, from the first; default: 20')
    add_common_options(parser, checkpoint=False)
    return parser.parse_args()


def browse(args: argparse.Namespace) -> None:
    """Draw as the command line says."""
    from mmengine.runner import set_random_seed  # not for --help, which these would slow down

    from deepunetto_mm.visualization import RegionVisualizer, rgb_from_inputs

    if args.number < 1:
        raise UsageError(f'--number must be at least 1, got {args.number}')
    cfg = load_config(args.config, args.cfg_options)
    require_keys(cfg, f'{args.split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    # Seeded like a run, so that the same command draws the same pictures.
    set_random_seed(**cfg.get('randomness', {}))
    dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    out_dir = Path(args.out_dir or Path(cfg.work_dir) / 'browse' / args.split)
    visualizer = RegionVisualizer(name='browse_dataset')
    visualizer.dataset_meta = dataset.metainfo
    names = PictureNames()
    number = min(args.number, len(dataset))
    for index in track(range(number), description=f'Drawing {args.split} data'):
        item = dataset[index]
        sample = item['data_samples']
        # Training annotations have the frame of the input, those of validation and testing the original picture's.
        shape = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else item['inputs'].shape[1:]
        image = rgb_from_inputs(item['inputs'], shape)
        path = sample.metainfo.get('img_path')
        name = f'{index:05d}_{names(path)}' if path else f'{index:05d}'
        visualizer.add_datasample(
            name, image, sample, draw_pred=False, out_file=str(out_dir / f'{name}.png'), with_image=True
        )
    print(f'{number} of {len(dataset)} samples: {out_dir}')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        browse(args)


if __name__ == '__main__':
    main()
