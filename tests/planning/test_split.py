from collections import Counter

import pytest

from deepunetto_mm.planning.split import fold_pictures, group_pictures, split_pictures
from deepunetto_mm.utils.errors import UsageError


def test_equal_pictures_and_those_of_a_group_belong_together():
    names = ['p1_a', 'p1_b', 'p2_a', 'p3_a', 'p3_b']
    contents = dict(zip(names, 'AAXBX'))  # p2_a is p3_b
    units = group_pictures(names, contents, None)
    assert units['p1_a'] == units['p1_b']
    assert units['p2_a'] == units['p3_b'] != units['p3_a']
    units = group_pictures(names, contents, '^(p[0-9])_')
    assert len(set(units.values())) == 2
    assert units['p2_a'] == units['p3_a'] == units['p3_b']
    with pytest.raises(UsageError, match='does not match the picture'):
        group_pictures(names, contents, 'q')
    with pytest.raises(UsageError, match='no regular expression'):
        group_pictures(names, contents, '(')


def test_every_name_is_on_both_sides():
    names = [f'{i:03}' for i in range(100)]
    labels = {name: ['common'] + ['rare'] * (i < 3) + ['once'] * (i == 50) for i, name in enumerate(names)}
    units = {name: i for i, name in enumerate(names)}
    splits = split_pictures(units, labels)
    assert Counter(splits.values()) == dict(train=80, val=20)
    assert Counter(splits[name] for name in names[:3]) == dict(train=2, val=1)
    assert splits['050'] == 'train'
    assert split_pictures(units, labels) == splits
    assert split_pictures(units, labels, seed=1) != splits


def test_groups_stay_together():
    names = [f'{i:02}' for i in range(40)]
    units = {name: i // 10 for i, name in enumerate(names)}
    splits = split_pictures(units, {name: [] for name in names})
    assert sorted(Counter(splits.values()).items()) == [('train', 30), ('val', 10)]
    assert all(len({splits[name] for name in names if units[name] == unit}) == 1 for unit in range(4))


def test_two_pictures_are_one_each_and_one_is_too_few():
    assert sorted(split_pictures(dict(a=0, b=1), dict(a=['x'], b=['x'])).values()) == ['train', 'val']
    with pytest.raises(UsageError, match='annotate more'):
        split_pictures(dict(a=0, b=0), {})


def test_every_picture_is_validated_once():
    names = [f'{i:02}' for i in range(42)]
    labels = {
        name: ['common'] + ['rare'] * (i < 5) + ['pair'] * (i > 38) + ['once'] * (i == 20)
        for i, name in enumerate(names)
    }
    units = {name: i // 2 for i, name in enumerate(names)}  # '40' and '41' are one unit, '38' and '39' another
    folds = fold_pictures(units, labels, 5)
    validated = [name for own in folds for name, split in own.items() if split == 'val']
    # The unit of 20 and 21 has a name that no other has.
    assert sorted(validated) == sorted(set(names) - {'20', '21'})
    assert sorted(Counter(own.values())['val'] for own in folds) == [8, 8, 8, 8, 8]
    for own in folds:
        assert all(own[name] == own[names[i ^ 1]] for i, name in enumerate(names))
        for label in ('rare', 'pair', 'once'):
            assert any(own[name] == 'train' for name in names if label in labels[name]), label
    assert sum(any(own[name] == 'val' for name in names if 'pair' in labels[name]) for own in folds) == 2
    assert fold_pictures(units, labels, 5) == folds
    with pytest.raises(UsageError, match='--folds 5: 4 pictures'):
        fold_pictures({name: i for i, name in enumerate('abcd')}, {}, 5)
