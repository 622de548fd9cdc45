from types import SimpleNamespace

import numpy as np
import pytest

from deepunetto_mm.planning.lists import split_dataset, write_lists
from deepunetto_mm.planning.report import Plan
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError


def test_rare_pictures_are_listed_often(tmp_path):
    splits = {str(i): 'train' for i in range(10)} | {'v': 'val', '9v': 'val'}
    assert write_lists(tmp_path, splits, often=['0', '1', 'v']) == 12  # 8 and 2 twice: a third
    assert (tmp_path / 'train.txt').read_text().split() == [*map(str, range(10)), '0', '1']
    assert (tmp_path / 'val.txt').read_text().split() == ['9v', 'v']
    assert write_lists(tmp_path, {'a': 'train', 'v': 'val'}, repeats=3) == 3
    assert (tmp_path / 'train.txt').read_text().split() == ['a'] * 3
    assert (tmp_path / 'val.txt').read_text().split() == ['v']


def _split(contents, folds=1, without_faulty=False):
    """Splits and errors of pictures SPLIT/NAME, equal ones with the same content."""
    dataset = SimpleNamespace(
        taxonomy=Taxonomy(('background',)), splits={name: name.partition('/')[0] for name in contents}
    )
    facts = [
        SimpleNamespace(name=name, content=content, fine=np.zeros(0, int), pixels=np.ones(2))
        for name, content in contents.items()
    ]
    plan = Plan(None, [], [], [], [])
    return split_dataset(dataset, facts, folds, None, without_faulty, plan), plan.errors


@pytest.mark.parametrize('folds', [1, 2])
def test_a_picture_to_train_on_that_is_also_tested_on(folds):
    contents = {'train/a': 'A', 'train/b': 'B', 'train/c': 'C', 'test/a': 'A'}
    _, (error,) = _split(contents, folds)
    assert error.startswith('train/a, test/a: the same picture is trained on and tested on')
    splits, errors = _split(contents, folds, without_faulty=True)
    assert not errors
    assert [(own['train/a'], own['test/a']) for own in splits] == [('left out', 'test')] * folds
    assert all(sorted((own['train/b'], own['train/c'])) == ['train', 'val'] for own in splits)


def test_nothing_to_train_on():
    with pytest.raises(UsageError, match="all pictures are in 'test'.* --new-split"):
        _split({'test/a': 'A', 'test/b': 'B'})
