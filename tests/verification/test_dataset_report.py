import json

import pytest

from deepunetto_mm.verification.dataset_report import (
    ClassCount,
    DatasetReport,
    Finding,
    FineCount,
    RegionSizes,
    SplitReport,
)


@pytest.fixture
def report():
    train = SplitReport('train', 'Cells', pictures=4, read=3, sizes=[(4, 3), (8, 6)], ignored_pixels=25, regions=2)
    train.classes = [ClassCount('ground', 50, 3), ClassCount('cell', 25, 2)]
    train.groups = [RegionSizes('cell', 2, [10.0, 10.5, 15.0, 19.5, 20.0])]
    train.fine_classes = [FineCount('round', 'cell', 1, 10.0, 1), FineCount('long', 'cell')]
    train.unnamed_regions, train.without_region, train.unknown_labels = 1, 2, {7: (9, 1)}
    train.findings = [Finding('error', 'truncated file', f'{number}.png') for number in range(5)]
    val = SplitReport('val', 'Cells', pictures=1, read=1, sizes=[(4, 3)])
    return DatasetReport('cells.py', [train, val], [Finding('warning', 'picture twice', 'a.png and b.png')])


def _cells(text):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']


def test_tables_have_a_column_a_split(report):
    assert _cells(report.to_text()) == [
        ['split', 'dataset', 'pictures', 'sizes', 'without region'],
        ['train', 'Cells', '3 of 4', '4x3 to 8x6', '2'],
        ['val', 'Cells', '1', '4x3', ''],
        ['class, share of pixels (pictures)', 'train', 'val'],
        ['ground', '50.00 % (3)', ''],
        ['cell', '25.00 % (2)', ''],
        ['(ignored)', '25.00 %', ''],
        ['(value 7, no class)', '9 pixels (1)', ''],
        ['region sizes in pixels: 0, 5, 50, 95, 100 % (regions)', 'train', 'val'],
        ['cell', '10, 10, 15, 20, 20 (2)', ''],
        ['fine class, regions (median pixels), pictures', 'train', 'val'],
        ['cell: round', '1 (10), 1 named', ''],
        ['cell: long', '0', ''],
        ['(no fine class)', '1', ''],
    ]


def test_errors_come_first_and_a_kind_has_three_examples(report):
    findings = report.to_text().partition('5 errors')[2].splitlines()
    assert findings == [
        ':',
        '  train: truncated file (5)',
        '    0.png',
        '    1.png',
        '    2.png',
        '    and 2 more',
        '',
        '1 warning:',
        '  splits: picture twice (1)',
        '    a.png and b.png',
    ]


def test_json_has_everything(report):
    content = json.loads(report.to_json())
    assert (content['config'], content['errors'], content['warnings']) == ('cells.py', 5, 1)
    train = content['splits'][0]
    assert [item['message'] for item in train['findings']] == [f'{number}.png' for number in range(5)]
    assert train['classes'][0] == dict(name='ground', pixels=50, pictures=3)
    assert train['groups'][0] == dict(group='cell', regions=2, percentiles=[10.0, 10.5, 15.0, 19.5, 20.0])
    assert train['unknown_labels'] == {'7': [9, 1]}
    assert content['findings'] == [dict(level='warning', kind='picture twice', message='a.png and b.png')]


def test_nothing_wrong_is_said():
    text = DatasetReport('cells.py', [SplitReport('train', 'Cells', 1, 1)]).to_text()
    assert text.endswith('0 errors\n\n0 warnings')
