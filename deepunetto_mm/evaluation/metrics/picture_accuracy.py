"""One fine class per picture, as classifiers are scored."""

import math

import numpy as np

from deepunetto_mm.evaluation.inputs import dataset_taxonomy
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.registry import METRICS
from deepunetto_mm.structures import Taxonomy


@METRICS.register_module()
class PictureAccuracy(PictureMetric):
    """Whether the picture is correctly named. For pictures of one object type, with or without masks.

    The regions of a picture vote: each gives every fine class its score times the region's area in pixels. The
    picture's fine class is the one with the greatest sum; ties go to the first. Its generic class is the group of that
    fine class. A classifier has one score per fine class, and the greatest wins in the same way, so networks with
    regions and classifiers of the whole picture are comparable. A classifier that also scores the generic classes, like
    ``HierarchicalClsHead``, predicts the generic class separately. Reported for the labelled pictures, rounded to two
    decimals:

    ==========================  ==========================================================================
    ``picture/fine``            those with the right fine class, in percent
    ``picture/generic``         those with the right generic class, in percent
    ``picture/consistency``     those whose fine class is of their generic class, in percent; only for a
                                classifier that predicts both
    ``picture/mistake_height``  severity of the mistakes: mean height of the lowest common ancestor of the
                                right and the predicted fine class, over the pictures named incorrectly
    ==========================  ==========================================================================

    The height is 1 if both are of one generic class, and 2, the height of the tree, if they are not or if
    there is no prediction (Bertinetto et al., *Making Better Mistakes*, CVPR 2020; their trees have more levels).

    A picture without any region has no prediction, which is incorrect. A picture without ``gt_label`` is not labelled
    and not counted. Without labels the figures are NaN; without mistakes their height is 0. Only integers are
    collected, one record per picture, so the results do not depend on the number of processes or the order of the
    pictures.

    Args:
        options: ``collect_device``, ``prefix`` (None for ``picture``) and ``collect_dir`` of ``BaseMetric``.
    """

    default_prefix = 'picture'

    def record(self, sample: dict, taxonomy: Taxonomy) -> tuple[int, int, int]:
        """The labelled and the predicted fine class, and a generic class that was predicted separately; -1 for none.

        Args:
            sample: ``pred_regions`` with ``areas`` (R,) and ``fine_scores`` (R, K), or else ``pred_score`` (K,), as in
                mmpretrain's classifiers, and optionally ``pred_generic_score`` (G,); and ``gt_label`` (1,), a fine
                class, if the picture is labelled.
            taxonomy: The taxonomy.

        Raises:
            ValueError: If nothing is predicted, or predictions or label are not of the K fine classes (or G groups).
        """
        num_fine = len(taxonomy.fine_classes)
        return _label(sample, num_fine), _name(sample, num_fine), _generic_name(sample, len(taxonomy.groups))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages by key, of the records of all pictures."""
        records = np.array(results, np.int64).reshape(-1, 3)
        gt, named, own = records[records[:, 0] >= 0].T
        # -1, no prediction, reads the last entry, which is not a group.
        group_of = np.array([*dataset_taxonomy(self).group_of_fine, -1])
        has_own = own >= 0
        generic = np.where(has_own, own, group_of[named])
        wrong = named != gt
        scores = dict(fine=100 * _mean(~wrong), generic=100 * _mean(generic == group_of[gt]))
        if has_own.any():
            scores['consistency'] = 100 * _mean(generic[has_own] == group_of[named[has_own]])
        heights = np.where(group_of[named[wrong]] == group_of[gt[wrong]], 1, 2)
        # 0 without mistakes, so that the best of all epochs always has a figure.
        scores['mistake_height'] = _mean(heights) if wrong.any() or not len(gt) else 0.0
        return {key: round(value, 2) for key, value in scores.items()}


def _mean(values: np.ndarray) -> float:
    return float(values.sum() / len(values)) if len(values) else math.nan


def _label(sample: dict, num_fine: int) -> int:
    """The picture's fine class, -1 if it is not labelled."""
    if 'gt_label' not in sample:
        return -1
    label = sample['gt_label'].tolist()
    if len(label) != 1 or not 0 <= label[0] < num_fine:
        raise ValueError(f'gt_label must be one fine class from 0 to {num_fine - 1}, got {label}')
    return label[0]


def _name(sample: dict, num_fine: int) -> int:
    """The predicted fine class, -1 for none."""
    if 'pred_regions' in sample:
        field, weights = 'pred_regions.fine_scores', sample['pred_regions']['areas']
        scores = sample['pred_regions']['fine_scores']
    elif 'pred_score' in sample:
        field, scores = 'pred_score', sample['pred_score'][None]
        weights = scores.new_ones(1)
    else:
        raise ValueError(
            'the data sample has neither pred_regions, which a DeepUNetto with its fine parts writes, nor pred_score, '
            'which a classifier of mmpretrain writes'
        )
    if scores.shape[1:] != (num_fine,):
        raise ValueError(
            f'{field} must have a score for each of the {num_fine} fine classes, got the shape {tuple(scores.shape)}'
        )
    return _best((weights.cpu().double() @ scores.cpu().double()).numpy())


def _generic_name(sample: dict, num_groups: int) -> int:
    """The generic class that a classifier predicts separately, -1 for none."""
    if 'pred_generic_score' not in sample:
        return -1
    scores = sample['pred_generic_score']
    if scores.shape != (num_groups,):
        raise ValueError(
            f'pred_generic_score must have a score for each of the {num_groups} groups, '
            f'got the shape {tuple(scores.shape)}'
        )
    return _best(scores.cpu().double().numpy())


def _best(votes: np.ndarray) -> int:
    """Index of the most votes, -1 if there are none."""
    # Without regions the sum is 0, and with a NaN score it is NaN.
    return int(votes.argmax()) if votes.sum() > 0 else -1
