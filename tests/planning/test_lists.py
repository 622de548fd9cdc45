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


def _split(contents, folds=1, without_faulty=False, group_by=None):
    """Splits and errors of pictures SPLIT/NAME, equal ones with the same content."""
    dataset = SimpleNamespace(
        taxonomy=Taxonomy(('background',)), splits={name: name.partition('/')[0] for name in contents}
    )
    facts = [
        SimpleNamespace(name=name, content=content, fine=np.zeros(0, int), pixels=np.ones(2))
        for name, content in contents.items()
    ]
    plan = Plan(None, [], [], [], [])
    return split_dataset(dataset, facts, folds, group_by, without_faulty, plan), plan.errors


@pytest.mark.parametrize('folds', [1, 2])
def test_a_picture_to_train_on_that_is_also_tested_on(folds):
    contents = {'train/a': 'A', 'train/b': 'B', 'train/c': 'C', 'test/a': 'A'}
    _, (error,) = _split(contents, folds)
    assert error.startswith('train/a, test/a: the same picture is trained on and tested on')
    splits, errors = _split(contents, folds, without_faulty=True)
    assert not errors
    assert [(own['train/a'], own['test/a']) for own in splits] == [('left out', 'test')] * folds
    assert all(sorted((own['train/b'], own['train/c'])) == ['train', 'val'] for own in splits)


@pytest.mark.parametrize('folds', [1, 2])
def test_a_group_to_train_on_that_is_also_tested_on(folds):
    names = ['train/p1_a', 'train/p1_b', 'train/p2_a', 'train/p3_a', 'test/p1_c', 'test/p4_a']
    contents = dict(zip(names, 'ABCDEF'))
    _, errors = _split(contents, folds, group_by='p[0-9]')
    assert errors == [
        "train/p1_a, test/p1_c: the group 'p1' of --group-by (2 and 1 pictures) is trained on and tested on, which "
        'flatters the score; take one out, or draw another split (--new-split)'
    ]
    splits, errors = _split(contents, folds, without_faulty=True, group_by='p[0-9]')
    assert not errors
    assert all([own[name] for name in names[:2]] == ['left out'] * 2 for own in splits)
    assert all(sorted((own['train/p2_a'], own['train/p3_a'])) == ['train', 'val'] for own in splits)


def test_groups_of_a_given_split():
    contents = {'train/p1_a': 'A', 'train/p2_a': 'B', 'val/p3_a': 'C'}
    (splits,), errors = _split(contents, group_by='p[0-9]')
    assert (list(splits.values()), errors) == (['train', 'train', 'val'], [])
    _, (error,) = _split({**contents, 'val/p2_b': 'D'}, group_by='p[0-9]')
    assert error.startswith("train/p2_a, val/p2_b: the group 'p2' of --group-by (1 and 1 pictures) is trained on")
    for pattern, message in (('q', "'q' does not match the picture 'train/p1_a'"), ('(', 'is no regular expression')):
        with pytest.raises(UsageError, match=message):
            _split(contents, group_by=pattern)


def test_nothing_to_train_on():
    with pytest.raises(UsageError, match="all pictures are in 'test'.* --new-split"):
        _split({'test/a': 'A', 'test/b': 'B'})
