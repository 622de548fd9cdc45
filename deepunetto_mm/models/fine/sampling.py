"""Which regions the fine branch is trained on, and what they are called."""

from typing import Iterator, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.ops import table_by_id
from deepunetto_mm.structures.frames import annotated_regions, replace_fields


def name_by_match(pred: InstanceData, pred_map: Tensor, gt: InstanceData, gt_map: Tensor) -> InstanceData:
    """Give predicted regions the fine label of the ground-truth region they match, by group and a mask IoU above 0.5.

    Args:
        pred: Predicted regions of a picture, with ``ids`` (R,) and ``labels`` (R,).
        pred_map: (H, W) their region map. ``gt_map`` has the same form.
        gt: Ground-truth regions, with ``fine_labels`` too.

    Returns:
        The predicted regions with ``fine_labels`` (R,): -1, no training, for those that match nothing.
    """
    rows_of_gt, rows_of_pred = _rows(gt_map, gt.ids), _rows(pred_map, pred.ids)
    # Row and column 0 count what is in no region.
    size = len(gt) + 1, len(pred) + 1
    counts = torch.bincount((rows_of_gt * size[1] + rows_of_pred).flatten(), minlength=size[0] * size[1]).view(size)
    shared = counts[1:, 1:]
    union = counts.sum(1)[1:, None] + counts.sum(0)[None, 1:] - shared
    # Regions of one map do not overlap, so above one half each has at most one partner.
    match = (2 * shared > union) & (gt.labels[:, None] == pred.labels)
    return replace_fields(pred, fine_labels=(match * (gt.fine_labels[:, None] + 1)).sum(0) - 1)


def _rows(region_map: Tensor, ids: Tensor) -> Tensor:
    """Replace the ids of a map by the regions' row numbers plus 1; 0 for no region, and for ids that are not listed."""
    return table_by_id(region_map, ids, torch.arange(1, len(ids) + 1, device=ids.device), 0)[region_map.long()]


def draw_regions(regions: Sequence[InstanceData], limit: Optional[int]) -> list[InstanceData]:
    """Keep at most ``limit`` regions of a batch, drawn at random among those with a fine label first; None keeps all.

    Regions without a fine label train nothing. They fill up what the others leave.
    """
    counts = [len(region) for region in regions]
    if limit is None or sum(counts) <= limit:
        return list(regions)
    order = torch.randperm(sum(counts))
    unlabelled = torch.cat([region.fine_labels < 0 for region in regions]).cpu()
    order = order[unlabelled[order].long().argsort(stable=True)]
    kept = torch.zeros(sum(counts), dtype=torch.bool)
    kept[order[:limit]] = True
    return [region[mask.to(region.ids.device)] for region, mask in zip(regions, kept.split(counts))]


def chunk_regions(regions: Sequence[InstanceData], size: int) -> Iterator[list[InstanceData]]:
    """The regions of a batch in their order, at most ``size`` at a time; without any region once, with none.

    Args:
        regions: R_i regions of each of N pictures.
        size: At least 1.

    Yields:
        N regions again, of which most have none.
    """
    counts = [len(region) for region in regions]
    for start in range(0, max(sum(counts), 1), size):
        chunk, offset = [], start  # where the chunk begins, counted from the picture's own first region
        for region, count in zip(regions, counts):
            chunk.append(region[max(offset, 0) : max(offset + size, 0)])
            offset -= count
        yield chunk


def ground_truth_regions(sample: SegDataSample, num_groups: int) -> InstanceData:
    """The annotated regions of a test sample in the form of predicted ones; their groups are certain.

    Args:
        sample: With ``gt_regions``, or it is an error (:func:`annotated_regions`).
        num_groups: Number G of groups.
    """
    gt = annotated_regions(sample)
    certain = F.one_hot(gt.labels, num_groups).float()
    return InstanceData(ids=gt.ids, labels=gt.labels, bboxes=gt.bboxes, group_probs=certain)
