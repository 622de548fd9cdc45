"""Segmentation, regions and their names into one map of composed labels."""

from typing import Optional

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.ops import row_strips
from deepunetto_mm.structures import Taxonomy


def write_names(regions: InstanceData, scores: Tensor, taxonomy: Taxonomy) -> None:
    """Name regions by their scores, in place.

    Args:
        regions: With ``labels`` (R,), which become the groups of the names, and ``group_probs`` (R, G). Written are
            ``fine_scores``, ``fine_labels`` and ``scores``, the probability of the group, too.
        scores: (R, K) of the fine classes.
        taxonomy: The taxonomy.
    """
    regions.fine_scores = scores
    regions.fine_labels = scores.argmax(1)
    # The name decides on the group too, which may be another than the segmentation's.
    regions.labels = regions.labels.new_tensor(taxonomy.group_of_fine)[regions.fine_labels]
    regions.scores = regions.group_probs.gather(1, regions.labels[:, None])[:, 0]


def compose_labels(
    label_map: Tensor,
    class_probs: Tensor,
    region_map: Tensor,
    regions: InstanceData,
    taxonomy: Taxonomy,
    vote: bool = False,
) -> Tensor:
    """Compose the label map of a picture: stuff by the segmentation, objects by the names of their regions.

    Args:
        label_map: (H, W) int64, segmentation classes.
        class_probs: (C, H, W) float, their probabilities.
        region_map: (H, W) integers, region ids, 0 for none.
        regions: With ``ids`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
        taxonomy: The taxonomy.
        vote: Within a region, each pixel gets the fine class with the greatest product of its segmentation class's
            probability there and the region's score; else the region's fine label.

    Returns:
        (H, W) int64, composed labels.
    """
    composed = compose_pixels(label_map, class_probs, taxonomy)
    write_regions(composed, region_map, regions, taxonomy, class_probs if vote else None)
    return composed


def compose_pixels(label_map: Tensor, class_probs: Tensor, taxonomy: Taxonomy) -> Tensor:
    """The composed labels that hold outside of any region; each pixel is by itself.

    Pixels of a group's class outside any region (too small, or too many) get the fine class that their class implies,
    or else the most probable stuff class; the ignore index, if the taxonomy has no stuff.

    Args:
        label_map, class_probs, taxonomy: As of :func:`compose_labels`, of the picture or any part of it.

    Returns:
        (H, W) int64, composed labels.
    """
    of_class = [
        own if fine < 0 else taxonomy.composed_of_fine[fine]
        for own, fine in zip(taxonomy.composed_of_class, taxonomy.fine_of_class)
    ]
    composed = label_map.new_tensor(of_class)[label_map]
    open_ = composed < 0
    stuff = [c for c, group in enumerate(taxonomy.group_of_class) if group < 0]
    # The composed labels begin with the stuff classes, in the same order.
    composed[open_] = class_probs[:, open_][stuff].argmax(0) if stuff else taxonomy.ignore_index
    return composed


def write_regions(
    composed: Tensor,
    region_map: Tensor,
    regions: InstanceData,
    taxonomy: Taxonomy,
    class_probs: Optional[Tensor] = None,
) -> None:
    """Write the names of regions into a composed map, in place.

    Args:
        composed: (H, W) integers, composed labels.
        region_map, regions, taxonomy: As of :func:`compose_labels`.
        class_probs: (C, H, W) float for a vote of each pixel, None for the region's fine label.
    """
    device = composed.device
    composed_of_fine = torch.tensor(list(taxonomy.composed_of_fine), device=device, dtype=composed.dtype)
    of_fine = torch.tensor(list(taxonomy.class_of_composed[len(taxonomy.stuff_classes) :]), device=device)
    position_of_id = torch.zeros(int(region_map.max()) + 1, dtype=torch.int64, device=device)
    position_of_id[regions.ids] = torch.arange(len(regions), device=device)
    for rows in row_strips(*composed.shape):
        inside = region_map[rows] > 0
        position = position_of_id[region_map[rows][inside].long()]
        fine = regions.fine_labels[position]
        if class_probs is not None:
            # Product of experts: what the pixel looks like, and what the region is.
            fine = (class_probs[:, rows][:, inside][of_fine] * regions.fine_scores.T[:, position]).argmax(0)
        composed[rows][inside] = composed_of_fine[fine]
