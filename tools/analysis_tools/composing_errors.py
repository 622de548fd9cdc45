"""Losses of composing: ``python tools/analysis_tools/composing_errors.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from mmseg.registry import DATASETS
from prettytable import PrettyTable
from rich.progress import track

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import add_common_options, load_config, require_keys
from deepunetto_mm.structures import Taxonomy

if TYPE_CHECKING:
    from mmseg.structures import SegDataSample

STEPS = (
    'as predicted',
    'regions named correctly',
    'pixels of regions named correctly',
    'pixels of groups named correctly',
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='IoU of the composed map if regions, then their pixels, then all pixels of a group were correctly '
        'named: the gain of each step is lost by wrong names, merged neighbours, and small regions.'
    )
    parser.add_argument('config', help='config file of a DeepUNetto with regions')
    parser.add_argument('checkpoint', help='checkpoint, or a work directory, whose newest checkpoint is used')
    add_common_options(parser)
    return parser.parse_args()


def correct_names(sample: SegDataSample, gt: np.ndarray, taxonomy: Taxonomy) -> list[np.ndarray]:
    """The composed map of a picture, step by step closer to the ground truth.

    A name is corrected within the group of the segmentation, whose errors remain.

    Args:
        sample: With ``pred_fine_seg``, ``pred_sem_seg`` and ``pred_region_map``.
        gt: (H, W) composed labels of the ground truth, from 0; their number means ignored.
        taxonomy: The taxonomy.

    Returns:
        For each of ``STEPS`` (H, W) composed labels.
    """
    predicted, classes, region_map = (
        sample.get(field).data[0].cpu().numpy() for field in ('pred_fine_seg', 'pred_sem_seg', 'pred_region_map')
    )
    groups = np.array([-1] * len(taxonomy.stuff_classes) + [*taxonomy.group_of_fine, -1])  # of composed labels
    seen = np.asarray(taxonomy.group_of_class)[classes]
    mendable = (seen >= 0) & (groups[gt] == seen)

    regions = predicted.copy()
    for number in np.unique(region_map[region_map > 0]):
        inside = region_map == number
        names = np.bincount(gt[inside & mendable], minlength=len(groups))
        if names.any():
            regions[inside] = names.argmax()
    pixels = np.where(mendable & (region_map > 0), gt, regions)
    return [predicted, regions, pixels, np.where(mendable, gt, pixels)]


def analyse(args: argparse.Namespace) -> None:
    """Predict the test set, count, and print the table."""
    from deepunetto_mm.evaluation.counting import count_pixels, encode_labels  # here and below: --help would be slow
    from deepunetto_mm.guards.checkpoint import read_checkpoint, resolve_checkpoint

    cfg = load_config(args.config, args.cfg_options)
    require_keys(cfg, 'model', 'test_dataloader')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    taxonomy = Taxonomy.from_dict(dataset.metainfo['taxonomy'])
    model = MODELS.build(cfg.model)
    model.load_state_dict(read_checkpoint(resolve_checkpoint(args.checkpoint), args.trust_checkpoint)['state_dict'])
    model.to(get_device()).eval()
    count = len(taxonomy.composed_classes)
    totals = np.zeros((len(STEPS), 3, count), np.int64)
    for index in track(range(len(dataset)), description='Predicting'):
        item = dataset[index]
        sample = item['data_samples']
        if 'gt_fine_seg' not in sample:
            raise ValueError(
                f'{sample.img_path} has no annotated composed map; load it by deepunetto_mm.LoadComposedAnnotations'
            )
        with torch.no_grad():
            (sample,) = model.test_step(dict(inputs=[item['inputs']], data_samples=[sample]))
        gt = encode_labels(sample.gt_fine_seg.data[0].cpu().numpy(), count, taxonomy.composed_ignore_index)
        for step, composed in enumerate(correct_names(sample, gt, taxonomy)):
            totals[step] += count_pixels(gt, encode_labels(composed, count, taxonomy.composed_ignore_index), count)
    shared, wanted, found = totals.transpose(1, 0, 2)
    union = wanted + found - shared
    iou = 100 * np.divide(shared, union, out=np.full(shared.shape, np.nan), where=union > 0)
    table = PrettyTable(['class', *STEPS])
    table.align = 'r'
    for name, values in zip(taxonomy.composed_classes, iou.T):
        table.add_row([name, *(f'{value:.2f}' for value in values)])
    table.add_row(['mean', *(f'{value:.2f}' for value in np.nanmean(iou, axis=1))])
    print(table)


def main() -> None:
    args = parse_args()
    from deepunetto_mm.guards import safe_loading

    with one_line_errors(args.traceback), safe_loading(args.trust_checkpoint):
        analyse(args)


if __name__ == '__main__':
    main()
