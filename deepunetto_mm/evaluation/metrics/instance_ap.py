"""Average precision of objects, as in microscopy."""

import math
from typing import Any, Sequence

import numpy as np

from deepunetto_mm.evaluation.inputs import code_regions, read_maps
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.ops import count_overlaps
from deepunetto_mm.registry import METRICS
from deepunetto_mm.structures import Taxonomy


@METRICS.register_module()
class InstanceAP(PictureMetric):
    """TP / (TP + FP + FN) at several IoUs: the *average precision* of the Data Science Bowl 2018 and of StarDist.

    A predicted region is a true positive (TP) at a threshold if the intersection over union (IoU) of its mask with that
    of a ground-truth region of the same group reaches it, whatever their names; each region has at most one partner.
    FP are the other predicted regions, FN the other ground-truth ones. They are counted over the objects of all
    pictures, as StarDist does (Schmidt et al., MICCAI 2018); the bowl averaged over pictures. It is not COCO's average
    precision: regions have no order by confidence here. Reported, in percent rounded to two decimals:

    ====================  =================================================
    ``instance/AP50`` …   at an IoU of 0.5, and at each other threshold
    ``instance/AP``       mean over the thresholds
    ====================  =================================================

    NaN without any object. Void pixels and regions are treated as in :class:`FineGrainedMetric`. Only integers are
    collected, one record per picture, so the results do not depend on the number of processes or the order of the
    pictures.

    Args:
        thresholds: Of the IoU, each from 0.5, where partners are unique, to 1.
        options: ``collect_device``, ``prefix`` (None for ``instance``) and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ValueError: If a threshold is out of range.
    """

    default_prefix = 'instance'

    def __init__(
        self, thresholds: Sequence[float] = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95), **options: Any
    ) -> None:
        super().__init__(**options)
        if not thresholds or not all(0.5 <= threshold <= 1 for threshold in thresholds):
            raise ValueError(f'InstanceAP: thresholds must be one or more numbers from 0.5 to 1, got {thresholds}')
        self.thresholds = tuple(thresholds)

    def record(self, sample: dict, taxonomy: Taxonomy) -> np.ndarray:
        """True positives, false positives and false negatives of a picture at each threshold, (T, 3) int64.

        Args:
            sample: With ``gt_sem_seg``, ``gt_region_map``, ``gt_regions``, ``pred_region_map`` and ``pred_regions``
                in the frame of the original picture.
            taxonomy: The taxonomy.

        Raises:
            ValueError: If a field is missing, or the fields contradict each other or the taxonomy.
        """
        maps = read_maps(sample)
        gt_ids, gt_labels, pred_ids, pred_labels = (
            sample[field][key].cpu().numpy() for field in ('gt_regions', 'pred_regions') for key in ('ids', 'labels')
        )
        _, gt_codes, pred_codes = code_regions(maps, gt_ids, pred_ids, taxonomy)
        overlaps = count_overlaps(gt_codes, pred_codes, len(gt_ids), len(pred_ids))
        seen = overlaps.pred_areas - overlaps.pred_void
        iou = overlaps.shared / (overlaps.gt_areas[overlaps.gt] + seen[overlaps.pred] - overlaps.shared)
        iou[gt_labels[overlaps.gt] != pred_labels[overlaps.pred]] = 0
        required = overlaps.gt_areas > 0
        counts = []
        for threshold in self.thresholds:
            hit = iou >= threshold
            found, matched = np.unique(overlaps.gt[hit]), np.unique(overlaps.pred[hit])
            # At an IoU of exactly 0.5, the two halves of a region both reach it. Pairs that share a region form a tree,
            # one true positive: the number of trees is that of the regions less that of the pairs.
            positives = len(found) + len(matched) - np.count_nonzero(hit)
            counted = (overlaps.pred_areas > 0) & (2 * overlaps.pred_void <= overlaps.pred_areas)
            counted[matched] = True
            counts.append([positives, np.count_nonzero(counted) - positives, np.count_nonzero(required) - positives])
        return np.array(counts, np.int64)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Percentages by key, of the records of all pictures."""
        counts = sum(results, np.zeros((len(self.thresholds), 3), np.int64))
        objects = counts.sum(1)
        values = [100 * int(own[0]) / int(n) if n else math.nan for own, n in zip(counts, objects)]
        scores = {f'AP{round(100 * t, 2):g}': value for t, value in zip(self.thresholds, values)}
        scores['AP'] = math.fsum(values) / len(values)
        return {key: round(value, 2) for key, value in scores.items()}
