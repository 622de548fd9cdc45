"""Scores of regions and their names: found, correctly named, panoptic quality, composed mIoU."""

import logging
import math
from typing import Any, Mapping, Optional, Sequence

import numpy as np
from mmengine.logging import print_log
from prettytable import PrettyTable

from deepunetto_mm.evaluation.confusion_picture import draw_confusion_matrix
from deepunetto_mm.evaluation.counting import (
    count_panoptic,
    count_pixels,
    encode_labels,
    false_alarms,
    number_categories,
    panoptic_quality,
    rank_labels,
)
from deepunetto_mm.evaluation.inputs import code_regions, dataset_taxonomy, named, read_maps, writer_of
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.ops import count_overlaps, match_regions
from deepunetto_mm.registry import METRICS
from deepunetto_mm.structures import Taxonomy


@METRICS.register_module()
class FineGrainedMetric(PictureMetric):
    """Whether the regions are found, and whether they are correctly named.

    A predicted region *matches* a ground-truth region of the same group if the intersection over union (IoU) of their
    masks is above 0.5. No region can have two matches. Reported, in percent rounded to two decimals:

    ==========================  ===========================================================================
    ``fine/recognition``        annotated ground-truth regions found *and* correctly named, over all annotated ones
    ``fine/mean_class``         mean of that over the fine classes that occur
    ``fine/top1``               annotated regions correctly named, over the found ones
    ``fine/top5``               annotated regions whose class is among the five best, over the found ones
    ``fine/oracle_top1``        annotated regions correctly named when the model is given the true regions, over all
                                annotated ones; only if the model wrote ``gt_regions.oracle_scores``
    ``fine/found``              ground-truth regions matched, over all of them, annotated or not
    ``fine/precision``          predicted regions matched, over the predicted ones
    ``fine/mask_IoU``           mean IoU of the matched regions' masks, whatever their names
    ``fine/PQ``                 panoptic quality, the mean over the fine classes that occur
    ``composed/mIoU``           mean IoU of the composed label map over the classes that occur
    ``composed/category_mIoU``  the same with all classes of a category merged; only with ``categories``
    ==========================  ===========================================================================

    A region is *annotated* if its fine label is known. Figures are NaN if nothing is annotated. If regions are
    annotated and none is found, ``fine/top1``, ``fine/top5``, ``fine/precision`` and ``fine/mask_IoU`` are 0, so that
    early stopping and the choice of the best checkpoint work from the first epoch.

    *Void* pixels say nothing about a prediction: those with the ignore index, and those of a group's class that are
    in no ground-truth region. They are left out of every IoU, a ground-truth region of only void is not counted,
    and a predicted region without a match that has more than half of its pixels on void is not an error. For
    ``fine/PQ`` and ``composed/*`` ground-truth regions without a fine label are void as well. If samples have
    ``gt_fine_seg``, the annotated composed map, ``composed/*`` is computed from it: a pixel of a group of cars,
    in no region, then counts as car.

    Only integers are collected, one record per picture, and real numbers are summed exactly, so the results do not
    depend on the number of processes or the order of the pictures.

    Args:
        confusion_matrix: File (.png) for a picture of the confusion matrix, overwritten at every evaluation; the
            numbers are written to a file with the suffix .csv. None writes nothing. A failure to write is a warning.
        categories: Names of composed classes by category, for ``composed/category_mIoU``. A class may be in one
            category, or in none: its pixels are then in no category's ground truth.
        options: ``collect_device``, ``prefix`` (None for none) and ``collect_dir`` of ``BaseMetric``.

    Attributes:
        by_class: Of the last evaluation, a dict by composed class: ``group``, None for stuff; ``regions``, the number
            of annotated ones; and the figures ``fine/found``, ``fine/recognition``, ``fine/top1``, ``fine/PQ`` and
            ``composed/IoU``, percentages or NaN.

    Raises:
        ValueError: If ``confusion_matrix`` is not a name of a PNG file, or a category is empty, or shares a class.
    """

    default_prefix = ''

    def __init__(
        self,
        confusion_matrix: Optional[str] = None,
        categories: Optional[Mapping[str, Sequence[str]]] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if confusion_matrix is not None and not confusion_matrix.lower().endswith('.png'):
            raise ValueError(f"confusion_matrix={confusion_matrix!r}: use a file name that ends in '.png'")
        self.confusion_matrix = confusion_matrix
        self.by_class: dict[str, dict[str, Any]] = {}
        self.categories = {name: list(classes) for name, classes in (categories or {}).items()}
        members = [name for classes in self.categories.values() for name in classes]
        if not all(self.categories.values()) or len(set(members)) < len(members):
            raise ValueError(f'categories={self.categories}: every category needs a class, and no class may have two')

    def shared(self) -> tuple[Taxonomy, Optional[np.ndarray]]:
        """The taxonomy, and the category of each composed class if there are categories.

        Raises:
            TaxonomyError: If the dataset's ``metainfo`` has no taxonomy.
            ValueError: If ``categories`` has a name that is not a composed class.
        """
        taxonomy = dataset_taxonomy(self)
        return taxonomy, number_categories(taxonomy.composed_classes, self.categories) if self.categories else None

    def record(self, sample: dict, shared: tuple[Taxonomy, Optional[np.ndarray]]) -> dict[str, Any]:
        """Count a picture.

        Args:
            sample: With ``gt_sem_seg``, ``gt_region_map``, ``gt_regions``, ``pred_region_map``, ``pred_regions`` and
                ``pred_fine_seg``, and optionally ``gt_fine_seg``, all in the frame of the original picture.
            shared: As :meth:`shared` returns it.

        Returns:
            ``regions`` (R', 4) has a row for each ground-truth region that is not all void: its fine label (-1
            unknown), the fine label of its match (-1 not found), the rank of its fine label in the match's scores, and
            in the oracle's (-1 none). ``matched`` (M, 2) has the pixels of the intersection and of the union of each
            match, and ``false_alarms`` (F,) the fine labels of predicted regions without a match. The other arrays are
            those of the counting functions.

        Raises:
            ValueError: If a field is missing, or the fields contradict each other or the taxonomy.
        """
        taxonomy, category_of = shared
        maps = read_maps(sample, ('pred_fine_seg',), optional=('gt_fine_seg',))
        num_groups, num_fine = len(taxonomy.groups), len(taxonomy.fine_classes)
        num_composed = len(taxonomy.composed_classes)
        gt = _arrays(sample, 'gt_regions', num_fine, required=('ids', 'labels', 'fine_labels'))
        pred = _arrays(sample, 'pred_regions', num_fine, required=('ids', 'labels', 'fine_labels', 'fine_scores'))
        for name, labels, low, count in [
            ('gt_regions.labels', gt['labels'], 0, num_groups),
            ('gt_regions.fine_labels', gt['fine_labels'], -1, num_fine),
            ('pred_regions.labels', pred['labels'], 0, num_groups),
            ('pred_regions.fine_labels', pred['fine_labels'], 0, num_fine),
        ]:
            if ((labels < low) | (labels >= count)).any():
                raise ValueError(f'{name} must be from {low} to {count - 1} in this taxonomy, got {labels.tolist()}')
        classes, gt_codes, pred_codes = code_regions(maps, gt['ids'], pred['ids'], taxonomy)
        pred_composed = named(
            'pred_fine_seg', encode_labels, maps['pred_fine_seg'], num_composed, taxonomy.composed_ignore_index
        )

        # Composed label by class, then by region; num_composed means void.
        stuff = np.array([*taxonomy.composed_of_class, -1])[classes]
        of_fine = np.array([*taxonomy.composed_of_fine, num_composed])  # -1, unknown, reads the last entry
        of_code = np.concatenate([[-1], of_fine[gt['fine_labels']], [num_composed]])
        if 'gt_fine_seg' in maps:
            gt_composed = named(
                'gt_fine_seg', encode_labels, maps['gt_fine_seg'], num_composed, taxonomy.composed_ignore_index
            )
        else:
            gt_composed = np.where(gt_codes == 0, stuff, of_code[gt_codes])

        overlaps = count_overlaps(gt_codes, pred_codes, len(gt['ids']), len(pred['ids']))
        matches = match_regions(
            overlaps, gt['labels'][overlaps.gt] == pred['labels'][overlaps.pred], overlaps.pred_void
        )
        names, rank = np.full(len(gt['ids']), -1), np.full(len(gt['ids']), -1)
        names[matches.gt] = pred['fine_labels'][matches.pred]
        rank[matches.gt] = rank_labels(pred['fine_scores'][matches.pred], gt['fine_labels'][matches.gt])
        oracle_rank = rank_labels(gt.get('oracle_scores'), gt['fine_labels'])
        rows = np.stack([gt['fine_labels'], names, rank, oracle_rank], axis=1)
        true_positives, errors = count_panoptic(overlaps, gt['fine_labels'], pred['fine_labels'], num_fine)
        record = dict(
            regions=rows[overlaps.gt_areas > 0],
            matched=np.stack([matches.shared, matches.union], axis=1),
            false_alarms=pred['fine_labels'][false_alarms(overlaps, matches, overlaps.pred_void)],
            true_positives=true_positives,
            errors=errors,
            pixels=count_pixels(gt_composed, pred_composed, num_composed),
            has_oracle='oracle_scores' in gt,
        )
        if category_of is not None:
            count = category_of[-1]  # the categories, and one more for classes in none, which has no IoU
            pixels = count_pixels(category_of[gt_composed], category_of[pred_composed], count)
            record['category_pixels'] = pixels[:, :-1]
        return record

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Turn the records of all pictures into percentages, print them by class, draw the confusion matrix."""
        taxonomy = dataset_taxonomy(self)
        num_fine = len(taxonomy.fine_classes)
        gt, named, rank, oracle = _concatenate([r['regions'] for r in results], 4).T
        masks = _concatenate([r['matched'] for r in results], 2)
        alarms = np.concatenate([np.zeros(0, np.int64)] + [r['false_alarms'] for r in results])
        annotated, found = gt >= 0, named >= 0
        right = annotated & (named == gt)
        asked = annotated & (oracle >= 0)
        top5 = rank < min(5, num_fine)

        def by_class(mask: np.ndarray) -> np.ndarray:
            return np.bincount(gt[mask], minlength=num_fine)

        regions, found_regions, right_regions = by_class(annotated), by_class(annotated & found), by_class(right)
        true_positives = _concatenate([r['true_positives'] for r in results], 3)
        errors = sum((r['errors'] for r in results), np.zeros((2, num_fine), np.int64))
        columns = dict(
            found=_percent(found_regions, regions),
            recognition=_percent(right_regions, regions),
            top1=_percent(right_regions, found_regions),
            PQ=100 * panoptic_quality(true_positives, errors),
        )
        iou = _iou([r['pixels'] for r in results], len(taxonomy.composed_classes))

        scores = {
            'fine/recognition': _percent(right.sum(), annotated.sum()),
            'fine/mean_class': _mean(columns['recognition']),
            'fine/top1': _percent(right.sum(), (annotated & found).sum(), annotated.any()),
            'fine/top5': _percent((annotated & found & top5).sum(), (annotated & found).sum(), annotated.any()),
            'fine/found': _percent(found.sum(), found.size),
            'fine/precision': _percent(found.sum(), found.sum() + alarms.size, found.size),
            'fine/mask_IoU': 100 * _mean(masks[:, 0] / masks[:, 1]) if len(masks) or not found.size else 0.0,
            'fine/PQ': _mean(columns['PQ']),
            'composed/mIoU': _mean(iou),
        }
        if self.categories:
            of_category = _iou([r['category_pixels'] for r in results], len(self.categories))
            scores['composed/category_mIoU'] = _mean(of_category)
        if any(r['has_oracle'] for r in results):
            scores['fine/oracle_top1'] = _percent((asked & (oracle == 0)).sum(), asked.sum())

        scores = {key: round(float(value), 2) for key, value in scores.items()}
        self.by_class = _by_class(taxonomy, regions, columns, iou, self.prefix)
        figures = ', '.join(f'{key} {value:.2f}' for key, value in scores.items())
        print_log(f'regions and composed classes: {figures}\n{_table(self.by_class)}', logger='current')
        if self.confusion_matrix is not None:
            # The last column has the missed regions, the last row the predictions without a region.
            confusion = np.zeros((num_fine + 1, num_fine + 1), np.int64)
            np.add.at(confusion, (gt[annotated], np.where(found, named, num_fine)[annotated]), 1)
            confusion[-1] += np.bincount(alarms, minlength=num_fine + 1)
            try:
                draw_confusion_matrix(confusion, taxonomy.fine_classes, self.confusion_matrix)
            except Exception as error:  # disk, fonts or memory: the figures must not be lost
                print_log(
                    f'{self.confusion_matrix} not written: {type(error).__name__}: {error}', 'current', logging.ERROR
                )
        return scores


def _arrays(sample: dict, field: str, num_fine: int, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    arrays = {}
    for name in {*required, 'oracle_scores'}:
        if name in sample[field]:
            tensor = sample[field][name].cpu()
            # bfloat16, which autocast may leave in the scores, does not exist in numpy.
            arrays[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        elif name in required:
            raise ValueError(f'{field} has no {name!r}; {writer_of(field)}')
        if name.endswith('_scores') and name in arrays and arrays[name].shape[1:] != (num_fine,):
            raise ValueError(
                f'{field}.{name} must have a column for each of the {num_fine} fine classes, '
                f'got the shape {arrays[name].shape}'
            )
    return arrays


def _concatenate(parts: list[np.ndarray], width: int) -> np.ndarray:
    return np.concatenate([np.zeros((0, width), np.int64), *parts])


def _percent(part: Any, whole: Any, nothing_is_bad: Any = False) -> Any:
    """Percentages; if the whole is 0, NaN, or 0 if it should not be 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole)
    return 100 * np.divide(part, whole, out=np.full(part.shape, 0.0 if nothing_is_bad else np.nan), where=whole > 0)


def _iou(pixels: list[np.ndarray], num_classes: int) -> np.ndarray:
    intersection, gt, pred = sum(pixels, np.zeros((3, num_classes), np.int64))
    return _percent(intersection, gt + pred - intersection)


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return math.fsum(values) / values.size if values.size else math.nan


def _by_class(
    taxonomy: Taxonomy, regions: np.ndarray, columns: dict[str, np.ndarray], iou: np.ndarray, prefix: str
) -> dict[str, dict[str, Any]]:
    """The content of :attr:`FineGrainedMetric.by_class`."""
    start = f'{prefix}/' if prefix else ''
    table: dict[str, dict[str, Any]] = {name: dict(group=None, regions=0) for name in taxonomy.stuff_classes}
    for k, (name, group) in enumerate(zip(taxonomy.fine_classes, taxonomy.group_of_fine, strict=True)):
        figures = {f'{start}fine/{key}': round(float(column[k]), 2) for key, column in columns.items()}
        table[name] = dict(group=taxonomy.groups[group].name, regions=int(regions[k]), **figures)
    for name, value in zip(taxonomy.composed_classes, iou, strict=True):
        table[name][f'{start}composed/IoU'] = round(float(value), 2)
    return table


def _table(by_class: dict[str, dict[str, Any]]) -> str:
    """The figures of the classes as text, of stuff the last one alone."""
    table = PrettyTable(['class', 'group', 'regions', 'found', 'recognition', 'top1', 'PQ', 'IoU'])
    for name, row in by_class.items():
        group, regions, *figures = row.values()
        shown = ['-' if math.isnan(figure) else f'{figure:.2f}' for figure in figures]
        table.add_row([name, *(['-'] * 6 if group is None else [group, regions]), *shown])
    return table.get_string()
