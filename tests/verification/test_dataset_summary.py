"""Counts of what was read, by hand."""

import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from deepunetto_mm.verification.dataset_report import Finding
from deepunetto_mm.verification.dataset_summary import summarise
from deepunetto_mm.verification.sample_reader import SampleFacts


class Cells(BaseDataset):
    METAINFO = dict(
        taxonomy=dict(
            classes=['ground', 'cell', 'tube'],
            groups=[
                dict(name='cell', members=['cell'], fine_classes=['round', 'long']),
                dict(name='tube', members=['tube'], fine_classes=['vein']),
            ],
        )
    )
    fine_label_file = 'labels.csv'

    def __init__(self, number):
        self.number = number
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [{} for _ in range(self.number)]


def _facts(path, pixels, *regions, **others):
    labels, fine_labels, areas = (np.array([row[k] for row in regions], np.int64) for k in range(3))
    return SampleFacts(
        path, class_pixels=np.array(pixels), labels=labels, fine_labels=fine_labels, areas=areas, **others
    )


@pytest.fixture
def facts():
    """Groups, fine classes and areas of regions."""
    return [
        _facts('a', [50, 30, 0, 20], (0, 0, 10), (0, 1, 20), size=(10, 10), content=b'a'),
        _facts('b', [100, 0, 0, 0], size=(5, 20), content=b'b'),
        _facts('c', [60, 40, 0, 0], (0, 0, 40), (0, -1, 30), size=(4, 4), content=b'c', unknown_labels={9: 4}),
    ]


def test_pixels_regions_and_names(facts):
    report = summarise('train', Cells(3), facts)
    assert [(entry.name, entry.pixels, entry.pictures) for entry in report.classes] == [
        ('ground', 210, 3),
        ('cell', 70, 2),
        ('tube', 0, 0),
    ]
    assert report.ignored_pixels == 20
    # Areas 10, 20, 30, 40: percentiles between them are linear.
    assert report.groups[0].percentiles == pytest.approx([10, 11.5, 25, 38.5, 40])
    assert (report.groups[1].regions, report.groups[1].percentiles) == (0, [])
    assert [(entry.name, entry.regions, entry.median) for entry in report.fine_classes] == [
        ('round', 2, 25.0),
        ('long', 1, 20.0),
        ('vein', 0, None),
    ]
    assert (report.regions, report.unnamed_regions, report.without_region) == (4, 1, 1)
    assert report.sizes == [(4, 4), (10, 10)]
    assert report.unknown_labels == {9: (4, 1)}
    assert [(item.level, item.kind, item.message) for item in report.findings] == [
        ('warning', 'class without a pixel', 'no mask has tube'),
        ('warning', 'fine class without an object', 'nothing is called vein'),
        (
            'warning',
            'region without a fine class',
            '1 of 4 regions have no fine class in labels.csv; they train the segmentation alone',
        ),
    ]


def test_of_a_part_nothing_is_said_to_be_missing(facts):
    report = summarise('train', Cells(4), facts)
    assert (report.read, report.pictures, report.findings) == (3, 4, [])


def test_findings_of_samples_are_kept(facts):
    facts[1].findings.append(Finding('error', 'truncated file', 'b'))
    report = summarise('train', Cells(3), facts)
    assert report.findings[0] == Finding('error', 'truncated file', 'b')
    assert (report.number('error'), report.number('warning')) == (1, 3)


def test_a_config_without_a_table_is_not_told_that_names_are_missing(facts):
    dataset = Cells(3)
    dataset.fine_label_file = None
    assert 'region without a fine class' not in [item.kind for item in summarise('train', dataset, facts).findings]


def test_nothing_read_is_counted_too():
    report = summarise('train', Cells(1), [SampleFacts('a', [], [Finding('error', 'truncated file', 'a')])])
    assert (report.classes, report.groups, report.sizes, report.number('warning')) == ([], [], [], 0)
