from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.planning import faults
from deepunetto_mm.planning.faults import look_for_faults, verify
from deepunetto_mm.planning.fingerprint import PictureFacts, summarise
from deepunetto_mm.planning.report import Plan
from deepunetto_mm.structures import Taxonomy


def _faults(pictures, names, **dataset):
    """Errors and warnings of pictures {name: (split, fine classes)}, each object of 10 pixels on 90 of background."""
    group = dict(name='cell', members=['cell'], fine_classes=list(names))
    taxonomy = Taxonomy.from_dict(dict(classes=['background', 'cell'], groups=[group]))
    facts = [
        PictureFacts(
            name=name,
            size=(10, 10),
            content=name,
            pixels=np.array([90, 10 * len(own), 0]),
            areas=np.full(len(own), 10),
            sides=np.full(len(own), 4),
            groups=np.zeros(len(own), int),
            fine=np.array([list(names).index(one) for one in own], int),
            touching=0,
            mixed=0,
            neighbours=0,
            white=np.full(3, 200.0),
            even=1.0,
            brightest=255.0,
            brightness=100.0,
        )
        for name, (_, own) in pictures.items()
    ]
    plan = Plan(None, [], [], [], [])
    splits = {name: split for name, (split, _) in pictures.items()}
    written = WrittenDataset(Path(), taxonomy, '.png', **dataset)
    look_for_faults(summarise(facts, taxonomy, (8, 0.0, 255.0)), facts, [splits], written, plan)
    return plan.errors, plan.warnings


def test_sound_data_have_no_fault():
    assert _faults(dict(a=('train', ['x', 'y']), b=('val', ['x', 'y'])), 'xy') == ([], [])


def test_a_name_that_cannot_be_learnt_is_an_error():
    pictures = dict(a=('train', ['x']), b=('val', ['x', 'y']))
    errors, _ = _faults(pictures, 'xy', splits=dict(a='train', b='val'))
    assert errors == ["'y' is in no training picture: it cannot be learnt; --new-split draws another split"]
    errors, _ = _faults(pictures, 'xy')  # a drawn split would be drawn again
    assert errors == [
        "'y' is in no training picture: it cannot be learnt; annotate it in other pictures, or --rename it"
    ]


@pytest.mark.parametrize(('tested', 'splits'), [('val', ('train', 'val')), ('test', ('train', 'val', 'test'))])
def test_pictures_of_the_test_are_verified_unless_they_are_those_of_the_validation(monkeypatch, tested, splits):
    seen = []
    report = Config(dict(findings=[], splits=[]))
    monkeypatch.setattr(faults, 'verify_datasets', lambda cfg, splits: seen.append(splits) or report)
    verify(Config(dict(val_dataloader=dict(file='val'), test_dataloader=dict(file=tested))), Plan(None, [], [], [], []))
    assert seen == [splits]


def test_no_object_is_an_error():
    errors, _ = _faults(dict(a=('train', []), b=('val', [])), 'x')
    assert errors[0] == 'no picture has an object: there is nothing to learn'
    assert errors[1] == "all labelled pixels are of one class, 'background': nothing to learn"


def test_a_name_that_differs_by_case_is_an_error_and_a_name_of_one_picture_a_warning():
    errors, warnings = _faults(
        dict(a=('train', ['Lime', 'lime', 'fig']), b=('val', ['Lime', 'lime'])), ['Lime', 'lime', 'fig']
    )
    assert len(errors) == 1
    assert "give --rename '" in errors[0]
    assert "'fig' is in one picture: it is trained on, and never validated" in warnings
