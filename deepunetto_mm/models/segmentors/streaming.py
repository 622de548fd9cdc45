"""Regions of a picture that is too large for a map of logits: predicted in tiles, cropped in windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.models.regions.composing import compose_pixels, write_names, write_regions
from deepunetto_mm.models.regions.frames import replace_fields
from deepunetto_mm.models.regions.sampling import chunk_regions, ground_truth_regions
from deepunetto_mm.ops import row_strips

if TYPE_CHECKING:  # which imports this module
    from .deepunetto import DeepUNetto

Prepare = Callable[[list[Tensor]], Tensor]  # windows (3, h, w) of a picture to a batch (N, 3, h, w) for the network


def stream_regions(model: DeepUNetto, picture: Tensor, sample: SegDataSample, prepare: Prepare) -> None:
    """Write ``pred_sem_seg``, ``pred_regions``, ``pred_region_map`` and ``pred_fine_seg`` of a picture.

    Of a pixel are kept: its label, its composed label outside of any region, and the probability of each group, by
    which regions are scored; ``4 + 4 G`` bytes.

    Args:
        model: With a fine branch.
        picture: (3, H, W), as it was loaded or normalised.
        sample: Its meta information, and ``gt_regions`` if the model is to score those too.
        prepare: Makes windows of the picture the network's input.
    """
    taxonomy = model.taxonomy
    assert taxonomy is not None, 'only a network with regions has names to give'
    shape, device = picture.shape[1:], picture.device
    labels, composed = torch.empty(2, *shape, dtype=torch.int16, device=device)
    group_probs = torch.empty(len(taxonomy.groups), *shape, device=device)
    for _, row, column, logits in model.predict_tiles([picture], [sample.metainfo], prepare, **model.tiling):
        rows, columns = slice(row.low, row.high), slice(column.low, column.high)
        label, class_probs = model.classify(logits[None])[0], model.class_probs(logits[None])
        labels[rows, columns] = label
        composed[rows, columns] = compose_pixels(label, class_probs[0], taxonomy).to(composed.dtype)
        group_probs[:, rows, columns] = model.sum_groups(class_probs)[0]
    sample.set_data(dict(pred_sem_seg=PixelData(data=labels[None])))
    model.propose(sample, group_probs)
    regions, region_map = sample.pred_regions, sample.pred_region_map.data[0]
    mean = picture_mean(picture, prepare)
    scores = score_regions(model, picture, mean, regions, region_map, group_probs, prepare)
    write_names(regions, scores, taxonomy)
    write_regions(composed, region_map, regions, taxonomy)
    sample.set_data(dict(pred_fine_seg=PixelData(data=composed[None])))
    if model.oracle:
        regions, region_map = ground_truth_regions(sample, len(taxonomy.groups)), sample.gt_region_map.data[0]
        scores = score_regions(model, picture, mean, regions, region_map, group_probs, prepare)
        sample.gt_regions.oracle_scores = scores


def picture_mean(picture: Tensor, prepare: Prepare) -> Tensor:
    """Mean of each channel of the network's input, (C,) float32, without making all of it."""
    strips = [prepare([picture[:, rows]])[0].double().sum((1, 2)) for rows in row_strips(*picture.shape[1:])]
    return (torch.stack(strips).sum(0) / picture[0].numel()).float()


def score_regions(
    model: DeepUNetto,
    picture: Tensor,
    mean: Tensor,
    regions: InstanceData,
    region_map: Tensor,
    group_probs: Tensor,
    prepare: Prepare,
) -> Tensor:
    """Scores (R, K) of regions, each of which is cropped from its own window of the picture.

    Args:
        model, picture, prepare: As of :func:`stream_regions`.
        mean: (C,) of the prepared picture.
        regions: With ``ids``, ``labels``, ``bboxes`` and ``group_probs``.
        region_map: (H, W).
        group_probs: (G, H, W).
    """
    scores = []
    for (chunk,) in chunk_regions([regions], model.crops_per_pass):
        crops = [
            model.crop_neck(
                [region],
                region_map[None, rows, columns],
                prepare([picture[:, rows, columns]]),
                None,
                group_probs[None, :, rows, columns],
                mean[None],
            )
            for region, rows, columns in _windows(model, chunk, picture.shape[1], picture.shape[2])
        ]
        scores.append(model.name_crops(torch.cat(crops), [chunk]))
    return torch.cat(scores)


def _windows(
    model: DeepUNetto, regions: InstanceData, height: int, width: int
) -> list[tuple[InstanceData, slice, slice]]:
    """Regions one by one in the frame of a window of the picture, and its rows and columns."""
    if len(regions) == 0:  # the fine branch takes crops of shape (0, C, h, w)
        return [(regions, slice(0, 1), slice(0, 1))]
    boxes = model.crop_neck.boxes(regions.bboxes)
    # RoIAlign interpolates between the centres of pixels: half a pixel outside of the box it looks at one more.
    low = (boxes[:, :2].floor() - 1).clamp(min=0).long()
    high = torch.minimum(boxes[:, 2:].ceil() + 1, boxes.new_tensor([width, height])).long()
    windows = []
    for i, ((x1, y1), (x2, y2)) in enumerate(zip(low.tolist(), high.tolist())):
        region = regions[i]
        moved = region.bboxes - region.bboxes.new_tensor([x1, y1, x1, y1])
        windows.append((replace_fields(region, bboxes=moved), slice(y1, y2), slice(x1, x2)))
    return windows
