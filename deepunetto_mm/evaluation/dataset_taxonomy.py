"""The taxonomy that a metric counts by."""

from __future__ import annotations

from mmengine.evaluator import BaseMetric

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
