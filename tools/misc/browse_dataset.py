"""Draw what the network will see, after augmentation: ``python tools/misc/browse_dataset.py CONFIG``."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from rich.progress import track

from deepunetto_mm.apis.runtime import ConfigOptionsAction, UsageError, load_config, one_line_errors, require_keys
from deepunetto_mm.visualization import PictureNames, RegionVisualizer


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Draw what the network will see, after augmentation.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='which data; default: train')
    parser.add_argument('--out-dir', help='folder for the drawings; default: work_dirs/CONFIG/browse/SPLIT')
    parser.add_argument('--number', type=int, default=20, help='how many samples, from the first on; default: 20')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, such as train_dataloader.dataset.data_root=data/cells')
    parser.add_argument('--traceback', action='store_true', help='show where an error came from')
    return parser.parse_args()


def picture_of(item: dict[str, Any]) -> tuple[np.ndarray, SegDataSample]:
    """The picture (H, W, 3) uint8 RGB that a dataset's item holds, in the frame of its annotation.

    Training annotations lie in the frame of the input; those of validation and testing in that of the original
    picture.

    Raises:
        UsageError: If the pipeline packs something else than uint8 BGR.
    """
    inputs, sample = item['inputs'], item['data_samples']
    if isinstance(inputs, list) or inputs.shape[0] != 3 or str(inputs.dtype) != 'torch.uint8':
        raise UsageError('the pipeline must pack one (3, H, W) uint8 BGR picture a sample; leave normalising to the '
                         'data_preprocessor')
    image = np.ascontiguousarray(inputs.numpy()[::-1].transpose(1, 2, 0))
    if 'gt_sem_seg' in sample and sample.gt_sem_seg.shape != image.shape[:2]:
        height, width = sample.gt_sem_seg.shape
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image, sample


def browse(args: argparse.Namespace) -> None:
    """Draw as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    require_keys(cfg, f'{args.split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    out_dir = Path(args.out_dir or Path(cfg.work_dir) / 'browse' / args.split)
    visualizer = RegionVisualizer(name='browse_dataset')
    visualizer.dataset_meta = dataset.metainfo
    names = PictureNames()
    number = min(args.number, len(dataset))
    for index in track(range(number), description=f'Drawing {args.split} data'):
        image, sample = picture_of(dataset[index])
        path = sample.metainfo.get('img_path')
        name = f'{index:05d}_{names(path)}' if path else f'{index:05d}'
        visualizer.add_datasample(name, image, sample, draw_pred=False, out_file=str(out_dir / f'{name}.png'))
    print(f'{number} of {len(dataset)} samples: {out_dir}')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        browse(args)


if __name__ == '__main__':
    main()
