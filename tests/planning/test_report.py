import json

from deepunetto_mm.planning.fingerprint import Fingerprint, Machine
from deepunetto_mm.planning.report import Plan, describe, write_report
from deepunetto_mm.structures import Taxonomy


def test_the_text_lists_at_most_twenty_errors():
    plan = Plan(None, [f'error {i}' for i in range(22)], ['look'], ['assumed'], ['first'])
    lines = plan.to_text().splitlines()
    assert lines[:6] == ['first', '', 'What was assumed:', '  - assumed', '', 'Look at:']
    assert '22 errors; training would be wasted:' in lines
    assert lines[-2:] == ['  - error 19', '  and 2 more in plan.json']
    plan = Plan(None, [], [], [f'note {i}' for i in range(21)], [])
    assert plan.to_text().splitlines()[-2:] == ['  - note 19', '  and 1 more in plan.json']


def test_the_data_and_the_machine_in_words():
    data = Fingerprint(3, (4, 5), [(4, 5), (4, 5)], True, 8, 0, 255, classes=dict(background=0.75, cell=0.25))
    lines = describe(
        data, Machine(2, 16, '', 0, '2'), dict(a='train', b='train', c='val'), Taxonomy(('background', 'cell'))
    )
    assert lines == [
        '3 pictures of 4x5 pixels, 8 bits: 2 train, 1 val',
        'classes: background 75.0 %, cell 25.0 %',
        'machine: 2 cores, 16 GiB, no GPU, torch 2',
    ]


def test_the_files_say_what_the_plan_says(tmp_path):
    plan = Plan(None, ['wrong'], [], [], ['first'])
    assert write_report(plan, tmp_path, dict(folds=1), lambda: '<p>') is plan
    assert json.loads((tmp_path / 'plan.json').read_text()) == dict(folds=1, errors=['wrong'], warnings=[], notes=[])
    assert (tmp_path / 'plan.txt').read_text() == plan.to_text()
    assert (tmp_path / 'plan.html').read_text() == '<p>'
