"""From scores to named regions, on arrays: what :mod:`deepunetto_mm.models.fine` does on tensors."""

from typing import Any, Mapping, Optional

import numpy as np

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.region_maps import encode_masks


class Pixels:
    """The pixels of the R regions of a picture.

    Args:
        region_map: (H, W) integers, 0 for no region.
        ids: (R,) the regions.
    """

    def __init__(self, region_map: np.ndarray, ids: np.ndarray) -> None:
        self.count = len(ids)
        self.inside = region_map > 0
        row_of_id = np.zeros(int(region_map.max(initial=0)) + 1, np.int64)
        row_of_id[ids] = np.arange(len(ids))
        self.rows = row_of_id[region_map[self.inside]]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of each map (M, H, W) over each region, (R, M) float32."""
        sums = [np.bincount(self.rows, plane[self.inside], self.count) for plane in values]
        areas = np.bincount(self.rows, minlength=self.count)
        return (np.stack(sums, 1) / np.maximum(areas, 1)[:, None]).astype(np.float32)


def named_labels(labels: np.ndarray, logits: np.ndarray, taxonomy: Taxonomy) -> np.ndarray:
    """Labels (H, W), but with the likeliest name for each pixel of a group: fine classes follow the classes.

    Args:
        labels: (H, W) segmentation classes.
        logits: (K, H, W) of the fine classes.
        taxonomy: The taxonomy.
    """
    groups, named = np.asarray(taxonomy.group_of_class)[labels], labels.copy()
    for group in range(len(taxonomy.groups)):
        own = list(taxonomy.children(group))
        inside = groups == group
        named[inside] = len(taxonomy.classes) + own[0] + logits[own][:, inside].argmax(0)
    return named


def scores_of_pixels(
    means: np.ndarray, groups: np.ndarray, taxonomy: Taxonomy, source: str, group_probs: Optional[np.ndarray] = None
) -> np.ndarray:
    """Scores (R, K) of regions that are named by their pixels; rows sum to 1, or of all groups to at most 1.

    Args:
        means: (R, K) over each region, of a map of the fine classes.
        groups: (R,) the group of each region, which allows its fine classes alone.
        taxonomy: The taxonomy.
        source: What the map has: ``'class_probs'``, or ``'logits'`` of a dense head.
        group_probs: (R, G) the probability of each group in the region, for names of all groups by logits: the score of
            a class is the geometric mean of its probabilities within its group, times that of the group.
    """
    if group_probs is not None:
        return np.exp(means) * group_probs[:, list(taxonomy.group_of_fine)]
    allowed = np.asarray(taxonomy.group_of_fine)[None] == groups[:, None]
    if source == 'class_probs':
        scores = means * allowed
        return scores / np.maximum(scores.sum(1, keepdims=True), 1e-12)
    scores = np.where(allowed, means, -np.inf)
    return softmax(scores, 1)


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    """Probabilities along an axis, which may have logits of -inf, but not these alone."""
    weights = np.exp(logits - logits.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


def compose(
    outside: np.ndarray, pixels: Pixels, scores: np.ndarray, taxonomy: Taxonomy, fine_probs: Optional[np.ndarray] = None
) -> np.ndarray:
    """The map of composed labels (H, W).

    Args:
        outside: (H, W) composed labels that hold outside of any region.
        pixels: The pixels of the regions.
        scores: (R, K) of the fine classes.
        taxonomy: The taxonomy.
        fine_probs: (K, H, W) for a vote of each pixel, None for the region's fine class.
    """
    composed_of_fine = np.asarray(taxonomy.composed_of_fine, outside.dtype)
    names, groups = scores.argmax(1), np.asarray(taxonomy.group_of_fine)
    fine = names[pixels.rows]
    if fine_probs is not None:
        own = (scores * (groups == groups[names][:, None])).T
        fine = (fine_probs[:, pixels.inside].clip(min=1e-12) * own[:, pixels.rows]).argmax(0)
    composed = outside.copy()
    composed[pixels.inside] = composed_of_fine[fine]
    return composed


def describe_regions(
    regions: Mapping[str, np.ndarray], region_map: np.ndarray, taxonomy: Taxonomy, top_k: int
) -> list[dict[str, Any]]:
    """The regions of a prediction, in values that JSON supports.

    Args:
        regions: Arrays of R regions: ``ids``, ``labels`` (group), ``bboxes`` (R, 4), ``areas``, ``scores``,
            ``fine_labels`` and ``fine_scores`` (R, K).
        region_map: (H, W) integers, region ids.
        taxonomy: The model's taxonomy.
        top_k: Number of fine classes to list.

    Returns:
        A dict per region: ``id``; ``bbox`` [x1, y1, x2, y2] in pixels of the original picture, half open; ``area`` in
        pixels; ``group`` and its ``score``; ``fine_class`` and its ``fine_score``; ``top_k``, dicts of ``fine_class``
        and ``score``, best first; ``mask``, COCO's run-length code.
    """
    described = []
    for row, mask in enumerate(encode_masks(region_map, regions['ids'])):
        scores = regions['fine_scores'][row]
        fine = int(regions['fine_labels'][row])
        described.append(
            dict(
                id=int(regions['ids'][row]),
                bbox=[round(side, 2) for side in regions['bboxes'][row].tolist()],
                area=int(regions['areas'][row]),
                group=taxonomy.groups[int(regions['labels'][row])].name,
                score=round(float(regions['scores'][row]), 4),
                fine_class=taxonomy.fine_classes[fine],
                fine_score=round(float(scores[fine]), 4),
                top_k=[
                    dict(fine_class=taxonomy.fine_classes[label], score=round(float(scores[label]), 4))
                    for label in np.argsort(-scores, kind='stable')[:top_k].tolist()  # ties go to the first
                ],
                mask=mask,
            )
        )
    return described
