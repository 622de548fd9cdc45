"""Segmentation, regions and their names into one map of composed labels."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor

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

    Pixels of a group's class outside any region (too small, or too many) get the fine class that their class implies,
    or else the most probable stuff class; the ignore index, if the taxonomy has no stuff.

    Args:
        label_map: (H, W) int64, segmentation classes.
        class_probs: (C, H, W) float, their probabilities.
        region_map: (H, W) int64, region ids, 0 for none.
        regions: With ``ids`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
        taxonomy: The taxonomy.
        vote: Within a region, each pixel gets the fine class with the greatest product of its segmentation class's
            probability there and the region's score; else the region's fine label.

    Returns:
        (H, W) int64, composed labels.
    """

    def lookup(labels: list[int]) -> Tensor:
        return torch.tensor(labels, device=label_map.device)

    composed_of_fine = lookup(list(taxonomy.composed_of_fine))
    of_class = [
        own if fine < 0 else taxonomy.composed_of_fine[fine]
        for own, fine in zip(taxonomy.composed_of_class, taxonomy.fine_of_class)
    ]
    composed = lookup(of_class)[label_map]
    open_ = composed < 0
    stuff = [c for c, group in enumerate(taxonomy.group_of_class) if group < 0]
    # The composed labels begin with the stuff classes, in the same order.
    composed[open_] = class_probs[:, open_][stuff].argmax(0) if stuff else taxonomy.ignore_index

    inside = region_map > 0
    position = label_map.new_zeros(int(region_map.max()) + 1)
    position[regions.ids] = torch.arange(len(regions), device=position.device)
    position = position[region_map[inside]]
    fine = regions.fine_labels[position]
    if vote:
        # Product of experts: what the pixel looks like, and what the region is.
        of_fine = lookup(list(taxonomy.class_of_composed[len(stuff) :]))
        fine = (class_probs[:, inside][of_fine] * regions.fine_scores.T[:, position]).argmax(0)
    composed[inside] = composed_of_fine[fine]
    return composed
