"""A split into training and validation pictures, with every fine class in both where possible."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Hashable, Mapping, Optional, Sequence

import numpy as np

from deepunetto_mm.utils.errors import UsageError

SHARE = 0.2  # of the pictures, to validate


def group_pictures(names: Sequence[str], contents: Mapping[str, Hashable], pattern: Optional[str]) -> dict[str, int]:
    """Pictures that must not be parted: those of one group, and those with the same pixels.

    Args:
        names: All pictures.
        contents: What is equal for pictures with the same pixels, by name.
        pattern: A regular expression, of which the first group in brackets, or else the whole match, is the
            name of the group: ``'^(patient[0-9]+)_'``. None if every picture is for itself.

    Returns:
        Number of the unit by name.

    Raises:
        UsageError: If the pattern is wrong, or does not match a name.
    """
    unit: dict[str, int] = {}
    of_key: dict[Hashable, int] = {}
    groups = name_groups(names, pattern)
    for name in names:
        keys: list[Hashable] = [('content', contents[name])] if name in contents else []
        if name in groups:
            keys.append(('group', groups[name]))
        known = sorted({of_key[key] for key in keys if key in of_key})
        number = known[0] if known else len(names) + len(unit)
        for other in known[1:]:  # the picture joins two units
            for key, value in of_key.items():
                of_key[key] = number if value == other else value
            unit = {key: number if value == other else value for key, value in unit.items()}
        unit[name] = number
        of_key.update(dict.fromkeys(keys, number))
    return unit


def name_groups(names: Sequence[str], pattern: Optional[str]) -> dict[str, str]:
    """The name of each picture's group, as of :func:`group_pictures`; nothing without a pattern."""
    groups = {}
    for name in names if pattern is not None else ():
        try:
            match = re.search(pattern or '', name)
        except re.error as error:
            raise UsageError(f'--group-by {pattern!r} is no regular expression: {error}') from error
        if match is None:
            raise UsageError(f'--group-by {pattern!r} does not match the picture {name!r}')
        groups[name] = match.group(1) if match.groups() else match.group()
    return groups


def split_pictures(
    units: Mapping[str, int], labels: Mapping[str, Sequence[str]], share: float = SHARE, seed: int = 0
) -> dict[str, str]:
    """Assign each picture to ``'train'`` or ``'val'``.

    The rarest label comes first: units with it go to the validation until it has its share there, at least one unit,
    and one is left to train on. A label of a single unit is trained on.

    Args:
        units: Number of the unit by picture, as :func:`group_pictures` gives it.
        labels: What each picture shows, such as its fine classes; a picture may have none.
        share: Of the pictures in the validation.
        seed: The same split for the same seed.

    Returns:
        Split by picture.

    Raises:
        UsageError: If there is only one unit.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for name in sorted(units):
        members[units[name]].append(name)
    if len(members) < 2:
        raise UsageError(
            f'{len(units)} pictures that belong together cannot be split into training and validation: annotate more'
        )
    shown = {unit: {label for name in names for label in labels.get(name, ())} for unit, names in members.items()}
    order = np.random.default_rng(seed).permutation(sorted(members)).tolist()
    of_label = Counter(label for own in shown.values() for label in own)
    wanted = {label: max(1, round(share * count)) if count > 1 else 0 for label, count in of_label.items()}
    only = {label for label, count in of_label.items() if count == 1}
    val: set[int] = set()
    have: Counter[str] = Counter()

    def take(unit: int) -> None:
        val.add(unit)
        have.update(shown[unit])

    for label in sorted(of_label, key=lambda label: (of_label[label], label)):
        # Those that exceed the share of other labels least.
        candidates = [unit for unit in order if label in shown[unit] and unit not in val and not shown[unit] & only]
        candidates.sort(key=lambda unit: sum(have[other] >= wanted[other] for other in shown[unit]))
        for unit in candidates[: max(0, wanted[label] - have[label])]:
            left = [other for other in shown[unit] if of_label[other] - have[other] <= 1]
            if not left and len(val) < len(members) - 1:
                take(unit)
    size = sum(len(members[unit]) for unit in val)
    for unit in order:
        needed = any(of_label[label] - have[label] <= 1 for label in shown[unit])
        if size + len(members[unit]) <= max(1, round(share * len(units))) and unit not in val and not needed:
            take(unit)
            size += len(members[unit])
    if not val:
        take(min(order, key=lambda unit: (len(shown[unit] & only), len(members[unit]))))
    return {name: 'val' if unit in val else 'train' for name, unit in units.items()}


def fold_pictures(
    units: Mapping[str, int], labels: Mapping[str, Sequence[str]], folds: int, seed: int = 0
) -> list[dict[str, str]]:
    """As many splits as folds: each picture is validated in one of them, and trained on in the others.

    Units with the rarest label come first, and each goes to the fold that has the fewest with it. Pictures with a label
    of a single unit are trained on in every fold.

    Args:
        units, labels, seed: As in :func:`split_pictures`.
        folds: Number of folds, 2 or more.

    Returns:
        Split by picture, for each fold.

    Raises:
        UsageError: If fewer units than folds can be validated.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for name in sorted(units):
        members[units[name]].append(name)
    shown = {unit: {label for name in names for label in labels.get(name, ())} for unit, names in members.items()}
    of_label = Counter(label for own in shown.values() for label in own)
    free = [unit for unit, own in shown.items() if all(of_label[label] > 1 for label in own)]
    if len(free) < folds:
        raise UsageError(
            f'--folds {folds}: {len(free)} pictures, or groups of them, can be validated; give fewer, or annotate more'
        )
    order = np.random.default_rng(seed).permutation(sorted(free)).tolist()
    order.sort(key=lambda unit: min((of_label[label] for label in shown[unit]), default=len(units)))
    have: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    fold_of = dict.fromkeys(units, -1)
    for unit in order:
        rarest_first = sorted(shown[unit], key=lambda label: (of_label[label], label))
        best = min(range(folds), key=lambda fold: ([have[fold][label] for label in rarest_first], sizes[fold]))
        have[best].update(shown[unit])
        sizes[best] += len(members[unit])
        fold_of.update(dict.fromkeys(members[unit], best))
    return [{name: 'val' if own == fold else 'train' for name, own in fold_of.items()} for fold in range(folds)]
