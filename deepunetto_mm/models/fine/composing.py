"""Regions get their names, and names get into the composed map."""

from typing import Optional

import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.ops import row_strips, table_by_id
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps
from deepunetto_mm.utils.joining import join_regions


def write_predictions(
    sample: SegDataSample,
    regions: InstanceData,
    region_map: Tensor,
    scores: Tensor,
    maps: Maps,
    vote: str = '',
    join: bool = False,
) -> None:
    """Write named regions and the composed map into a data sample.

    Args:
        sample: Gets ``pred_regions``, ``pred_region_map`` and ``pred_fine_seg``.
        regions: With ``ids``, ``labels``, ``bboxes``, ``areas`` and ``group_probs``, in the frame of the maps.
        region_map: (H, W) integers, region ids, 0 for none.
        scores: (R, K) of the fine classes.
        maps: Of this picture alone. If they have ``outside`` already, it becomes the composed map, in place.
        vote: Within a region, each pixel gets, of the fine classes of the region's group, the one with the greatest
            product of its probability there and the region's score; otherwise the region's fine label. The map of these
            probabilities: ``'logits'``, the class logits, or logits of the fine classes by a dense head; ``''`` for no
            vote.
        join: Whether regions of different groups become one where they touch and their names are of the same group.
    """
    taxonomy = maps.taxonomy
    assert taxonomy is not None, 'regions come from a taxonomy'
    if join:
        regions, region_map, scores = _joined(regions, region_map, scores, taxonomy)
    write_names(regions, scores, taxonomy)
    fine_probs = None
    if vote == 'logits':
        fine_probs = maps.class_probs[0, list(taxonomy.class_of_fine)]
    elif vote:
        fine_probs = maps[vote][0].float().softmax(0)
    composed = maps.outside_of(region_map[None])
    write_regions(composed[0], region_map, regions, taxonomy, fine_probs)
    sample.set_data(
        dict(
            pred_regions=regions,
            pred_region_map=PixelData(data=region_map[None]),
            pred_fine_seg=PixelData(data=composed),
        )
    )


def _joined(
    regions: InstanceData, region_map: Tensor, scores: Tensor, taxonomy: Taxonomy
) -> tuple[InstanceData, Tensor, Tensor]:
    """Regions, their map and their scores by :func:`join_regions`."""
    of_name, groups = scores.new_tensor(taxonomy.group_of_fine).long()[scores.argmax(1)], len(taxonomy.groups)
    # Each group by name has regions of one group alone: nothing to join, and no reason to copy the map to the host.
    if len((of_name * groups + regions.labels).unique()) == len(of_name.unique()):
        return regions, region_map, scores
    given = (*regions.items(), ('fine_scores', scores.detach().float()))
    table = {key: value.cpu().numpy() for key, value in given}
    joined_map, table = join_regions(region_map.cpu().numpy(), table, taxonomy.group_of_fine)
    tensors = {key: torch.from_numpy(value).to(scores.device) for key, value in table.items()}
    scores = tensors.pop('fine_scores')
    return InstanceData(**tensors), torch.from_numpy(joined_map).to(scores.device), scores


def write_names(regions: InstanceData, scores: Tensor, taxonomy: Taxonomy) -> None:
    """Name regions by their scores, in place.

    Args:
        regions: With ``labels`` (R,), which become the groups of the names, ``group_probs`` (R, G) and perhaps
            ``objectness`` (R,). Also written are ``fine_scores``, ``fine_labels`` and ``scores``: the probability of
            the group, times the objectness.
        scores: (R, K) of the fine classes.
        taxonomy: The taxonomy.
    """
    regions.fine_scores = scores
    regions.fine_labels = scores.argmax(1)
    # The name decides on the group too, which may be another than the segmentation's.
    regions.labels = regions.labels.new_tensor(taxonomy.group_of_fine)[regions.fine_labels]
    regions.scores = regions.group_probs.gather(1, regions.labels[:, None])[:, 0] * regions.get('objectness', 1)


def write_regions(
    composed: Tensor, region_map: Tensor, regions: InstanceData, taxonomy: Taxonomy, fine_probs: Optional[Tensor] = None
) -> None:
    """Write the names of regions into a composed map, in place.

    Args:
        composed: (H, W) integers, composed labels.
        region_map: (H, W) integers, region ids, 0 for none.
        regions: With ``ids`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
        taxonomy: The taxonomy.
        fine_probs: (K, H, W) float for a vote of each pixel, None for the region's fine label.
    """
    device = composed.device
    composed_of_fine = torch.tensor(list(taxonomy.composed_of_fine), device=device, dtype=composed.dtype)
    # The name decides on the group: a map of names does not compare those of several groups.
    group_of_fine = torch.tensor(list(taxonomy.group_of_fine), device=device)
    scores = (regions.fine_scores * (group_of_fine == group_of_fine[regions.fine_labels][:, None])).T
    position_of_id = table_by_id(region_map, regions.ids, torch.arange(len(regions), device=device), 0)
    for rows in row_strips(*composed.shape):
        inside = torch.where(region_map[rows] > 0)
        position = position_of_id[region_map[rows][inside].long()]
        fine = regions.fine_labels[position]
        if fine_probs is not None:
            # Product of experts: what the pixel looks like, and what the region is. A pixel that looks like none of the
            # region's names leaves it to the region.
            fine = (fine_probs[:, rows][:, inside[0], inside[1]].clamp(min=1e-12) * scores[:, position]).argmax(0)
        composed[rows][inside] = composed_of_fine[fine]
