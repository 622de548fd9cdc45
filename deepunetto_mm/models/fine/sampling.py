"""Which regions the fine branch is trained on, and what they are called."""

from typing import Iterator, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.ops import count_overlaps, encode_regions, match_regions, without_padding
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
    gt_codes = encode_regions(without_padding(gt_map).cpu().numpy(), gt.ids.cpu().numpy())
    pred_codes = encode_regions(pred_map.cpu().numpy(), pred.ids.cpu().numpy())
    overlaps = count_overlaps(gt_codes, pred_codes, len(gt), len(pred))
    same = gt.labels.cpu().numpy()[overlaps.gt] == pred.labels.cpu().numpy()[overlaps.pred]
    matches = match_regions(overlaps, same, np.zeros(len(pred), np.int64))
    fine_labels = gt.fine_labels.new_full((len(pred),), -1)
    fine_labels[torch.from_numpy(matches.pred)] = gt.fine_labels[torch.from_numpy(matches.gt)]
    return replace_fields(pred, fine_labels=fine_labels)


def draw_regions(regions: Sequence[InstanceData], limit: Optional[int]) -> list[InstanceData]:
    """Keep at most ``limit`` regions of a batch, drawn at random among those with a fine label first; None keeps all.

    Regions without a fine label train nothing. They fill up what the others leave.
    """
    counts = [len(region) for region in regions]
    if limit is None or sum(counts) <= limit:
        return list(regions)
    order = torch.randperm(sum(counts))
    unlabelled = torch.cat([region.fine_labels.cpu() < 0 for region in regions])
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
