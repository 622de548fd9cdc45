"""Inputs of metrics: the taxonomy of the dataset, and the regions of a prediction."""

from typing import Any, Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from deepunetto_mm.evaluation.counting import encode_labels
from deepunetto_mm.ops import encode_regions, without_padding
from deepunetto_mm.structures import Taxonomy, TaxonomyError

_GROUND_TRUTH = (
    'the test pipeline must load it: deepunetto_mm.LoadRegions after LoadAnnotations, and '
    'deepunetto_mm.PackRegionInputs at its end; pictures without masks cannot be scored'
)
_PREDICTION = 'the model must write it, as a DeepUNetto with its fine parts does'


def writer_of(field: str) -> str:
    """Who writes a field of a data sample, for the error if it is missing."""
    return _GROUND_TRUTH if field.startswith('gt_') else _PREDICTION


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


def require_fields(sample: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Raise ValueError if a data sample lacks one of the fields; the message says who writes it."""
    for field in fields:
        if field not in sample:
            raise ValueError(f'the data sample has no {field!r}; {writer_of(field)}')


def read_maps(
    sample: Mapping[str, Any], further: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The maps of a data sample by field, (H, W) each: classes and regions of the ground truth, predicted regions.

    Args:
        sample: The data sample as a dict.
        further: Other maps that are needed.
        optional: Maps that may be missing.

    Raises:
        ValueError: If a map or the list of its regions is missing, or the sizes differ.
    """
    needed = ('gt_sem_seg', 'gt_region_map', 'gt_regions', 'pred_region_map', 'pred_regions', *further)
    require_fields(sample, needed)
    maps = {
        field: sample[field]['data'].squeeze(0).cpu().numpy()
        for field in (*needed, *optional)
        if field in sample and 'data' in sample[field]
    }
    if len({array.shape for array in maps.values()}) > 1:
        raise ValueError(
            'maps of one picture must have one shape, got '
            + ', '.join(f'{field} {array.shape}' for field, array in maps.items())
            + '; masks must be as large as their picture, and predictions in its original frame'
        )
    return maps


def code_regions(
    maps: Mapping[str, np.ndarray], gt_ids: np.ndarray, pred_ids: np.ndarray, taxonomy: Taxonomy
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of :mod:`deepunetto_mm.ops.overlaps`; void are ignored pixels, and those of a group's class in no region.

    Args:
        maps: Of :func:`read_maps`.
        gt_ids: (R,) int64 ids of the ground-truth regions.
        pred_ids: (Q,) int64 ids of the predicted regions.
        taxonomy: The taxonomy.

    Returns:
        Three maps (H, W) int64: classes, the number of classes where ignored; codes of the ground truth; codes of the
        prediction.

    Raises:
        ValueError: If a map has another value; names the field.
    """
    count = len(taxonomy.classes)
    classes = named('gt_sem_seg', encode_labels, maps['gt_sem_seg'], count, taxonomy.ignore_index)
    gt_codes = named('gt_region_map', encode_regions, without_padding(maps['gt_region_map']), gt_ids)
    pred_codes = named('pred_region_map', encode_regions, maps['pred_region_map'], pred_ids)
    of_group = np.array([*taxonomy.group_of_class, -1])[classes] >= 0
    gt_codes[(classes == count) | ((gt_codes == 0) & of_group)] = len(gt_ids) + 1
    return classes, gt_codes, pred_codes


def named(field: str, function: Any, *args: Any) -> np.ndarray:
    """What a function returns; its error gets the name of the field."""
    try:
        return function(*args)
    except ValueError as error:
        raise ValueError(f'{field}: {error}') from error


def confidences(regions: Mapping[str, Tensor]) -> Tensor:
    """Confidence of each object: the score of its region times that of its fine class, (R,) float64.

    Args:
        regions: ``scores`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
    """
    # In float64, where products tie only if the scores do.
    fine_scores = regions['fine_scores'].double().gather(1, regions['fine_labels'].long()[:, None])[:, 0]
    return regions['scores'].double() * fine_scores
