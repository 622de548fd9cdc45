"""Inputs of metrics: the taxonomy of the dataset, and the regions of a prediction."""

from __future__ import annotations

from typing import Any, Mapping

from mmengine.evaluator import BaseMetric
from torch import Tensor

from deepunetto_mm.structures import Taxonomy, TaxonomyError


def dataset_taxonomy(metric: BaseMetric) -> Taxonomy:
    """The taxonomy of the dataset that a metric evaluates.

    Raises:
        TaxonomyError: If the dataset's ``metainfo`` has none.
    """
    if not metric.dataset_meta or 'taxonomy' not in metric.dataset_meta:
        raise TaxonomyError(
            f"{type(metric).__name__}: the dataset's metainfo has no 'taxonomy'; use a dataset of "
            'deepunetto_mm, or put taxonomy=dict(classes=..., groups=...) into its metainfo'
        )
    return Taxonomy.from_dict(metric.dataset_meta['taxonomy'])


def require_regions(sample: Mapping[str, Any]) -> None:
    """Raise if a data sample lacks a field that a :class:`DeepUNetto` predicts for regions.

    Raises:
        ValueError: If so; names the field.
    """
    for field in ('pred_fine_seg', 'pred_region_map', 'pred_regions'):
        if field not in sample:
            raise ValueError(f'the data sample has no {field!r}; a DeepUNetto with its fine parts writes it')


def confidences(regions: Mapping[str, Tensor]) -> Tensor:
    """Confidence of each object: the score of its region times that of its fine class, (R,) float64.

    Args:
        regions: ``scores`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
    """
    # In float64, where products tie only if the scores do.
    fine_scores = regions['fine_scores'].double().gather(1, regions['fine_labels'].long()[:, None])[:, 0]
    return regions['scores'].double() * fine_scores
