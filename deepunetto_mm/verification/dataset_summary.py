"""The contents of a dataset, counted; and faults of the dataset as a whole."""

from typing import Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from .dataset_report import ClassCount, Finding, FineCount, RegionSizes, SplitReport
from .sample_reader import SampleFacts, taxonomy_of


def summarise(name: str, dataset: BaseDataset, facts: Sequence[SampleFacts]) -> SplitReport:
    """Count the contents of a dataset.

    Args:
        name: Its split.
        dataset: The dataset; its taxonomy and options determine what is expected.
        facts: Of the samples that were read. Missing classes are only reported if these are all samples.
    """
    report = SplitReport(name, type(dataset).__name__, len(dataset), len(facts))
    report.findings = [finding for item in facts for finding in item.findings]
    sizes = sorted({item.size for item in facts if item.size}, key=lambda size: (size[0] * size[1], size))
    report.sizes = [sizes[0], sizes[-1]] if sizes else []
    for value in sorted({value for item in facts for value in item.unknown_labels}):
        pixels = [item.unknown_labels[value] for item in facts if value in item.unknown_labels]
        report.unknown_labels[value] = sum(pixels), len(pixels)
    _count_classes(report, dataset, facts)
    _count_regions(report, dataset, facts)
    if len(facts) == len(dataset):
        report.findings += _lacks(report, dataset, facts)
    palettes = [item.path for item in facts if item.palette]
    if palettes:
        message = (
            f'{len(palettes)} masks have a palette, such as that of {palettes[0]}: the index of a colour is read as '
            'the class, not the colour; compare the classes below with what you expect'
        )
        report.findings.append(Finding('warning', 'mask with a palette', message))
    return report


def _count_classes(report: SplitReport, dataset: BaseDataset, facts: Sequence[SampleFacts]) -> None:
    taxonomy = taxonomy_of(dataset)
    masks = [item.class_pixels for item in facts if item.class_pixels is not None]
    if taxonomy is None or not masks:
        return
    pixels = np.stack(masks)
    for name, column in zip(taxonomy.classes, pixels.T):
        report.classes.append(ClassCount(name, int(column.sum()), int((column > 0).sum())))
    report.ignored_pixels = int(pixels[:, -1].sum())


def _count_regions(report: SplitReport, dataset: BaseDataset, facts: Sequence[SampleFacts]) -> None:
    taxonomy = taxonomy_of(dataset)
    tables = [(item.labels, item.fine_labels, item.areas) for item in facts if item.areas is not None]
    names = np.array([item.picture_label for item in facts if item.picture_label is not None], np.int64)
    if taxonomy is None or not taxonomy.groups or not (tables or len(names)):
        return
    empty = np.zeros(0, np.int64)
    labels, fine_labels, areas = (np.concatenate([empty, *column]) for column in zip(*tables or [(empty,) * 3]))
    report.regions, report.unnamed_regions = len(areas), int((fine_labels < 0).sum())
    report.without_region = sum(len(table[2]) == 0 for table in tables)
    for g, group in enumerate(taxonomy.groups if tables else ()):
        own = areas[labels == g]
        percentiles = np.percentile(own, [0, 5, 50, 95, 100]).tolist() if len(own) else []
        report.groups.append(RegionSizes(group.name, len(own), percentiles))
    for k, name in enumerate(taxonomy.fine_classes):
        own = areas[fine_labels == k]
        median = float(np.median(own)) if len(own) else None
        group_name = taxonomy.groups[taxonomy.group_of_fine[k]].name
        report.fine_classes.append(FineCount(name, group_name, len(own), median, int((names == k).sum())))


def _lacks(report: SplitReport, dataset: BaseDataset, facts: Sequence[SampleFacts]) -> list[Finding]:
    """Faults of a split as a whole; not meaningful for a part of it."""
    found, taxonomy = [], taxonomy_of(dataset)
    if report.classes and taxonomy is not None:
        absent = [entry.name for entry in report.classes if not entry.pixels]
        # Only in files: masks that a pipeline makes have 255 on purpose.
        white = [item.path for item in facts if item.files and item.class_pixels is not None and item.class_pixels[-1]]
        if len(absent) == len(report.classes):
            found.append(
                Finding('error', 'nothing labelled', 'every pixel of every mask is ignored; look at the masks')
            )
        elif white and taxonomy.ignore_index == 255 and len(report.classes) == 2 and absent == [taxonomy.classes[1]]:
            message = (
                f'no mask has the class {absent[0]!r}, which is 1, and {len(white)} have 255, which is ignored, as '
                f'that of {white[0]} does; in a mask of two classes write 1 for the second'
            )
            found.append(Finding('error', '255 in masks of two classes', message))
        elif absent:
            # The first class is as a rule the background, which most pictures have.
            hint = '; if the masks count classes from 1, as those of ilastik do, set reduce_zero_label=True'
            from_1 = absent[0] == taxonomy.classes[0] and not getattr(dataset, 'reduce_zero_label', False)
            message = f'no mask has {_some(absent)}' + hint * from_1
            found.append(Finding('warning', 'class without a pixel', message))
    if report.fine_classes and any(entry.regions or entry.pictures for entry in report.fine_classes):
        absent = [entry.name for entry in report.fine_classes if not entry.regions and not entry.pictures]
        if absent:
            found.append(Finding('warning', 'fine class without an object', f'nothing is called {_some(absent)}'))
    if report.groups and not report.regions:
        found.append(Finding('warning', 'no region', 'no picture has any: there is nothing to name'))
    # Without a table there are no fine labels, by the config's choice.
    if report.unnamed_regions and getattr(dataset, 'fine_label_file', None):
        message = (
            f'{report.unnamed_regions} of {report.regions} regions have no fine class in {dataset.fine_label_file}; '
            'they train the segmentation alone'
        )
        found.append(Finding('warning', 'region without a fine class', message))
    return found


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:10]) + (f' and {len(names) - 10} more' if len(names) > 10 else '')
