"""The split of a dataset, and the lists of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole

from .fingerprint import PictureFacts
from .report import Plan
from .split import fold_pictures, group_pictures, name_groups, split_pictures


def split_dataset(
    dataset: WrittenDataset,
    facts: Sequence[PictureFacts],
    folds: int,
    group_by: Optional[str],
    without_faulty: bool,
    plan: Plan,
) -> list[dict[str, str]]:
    """Split by picture's name: that of the folders, or one drawn here; or several, the folds.

    Args:
        dataset: Gives the split of the folders, if they have one.
        facts: What each picture shows.
        folds, group_by, without_faulty: As in :class:`~deepunetto_mm.planning.PlanOptions`.
        plan: Receives what was decided, and pictures that are on both sides.
    """
    names = [item.name for item in facts]
    contents = {item.name: item.content for item in facts}
    labels = {
        item.name: [dataset.taxonomy.fine_classes[label] for label in sorted(set(item.fine.tolist())) if label >= 0]
        or [f'class {index}' for index in item.pixels[:-1].nonzero()[0].tolist()]
        for item in facts
    }
    splits = {name: dataset.splits.get(name, 'train') for name in names}
    have = {dataset.splits[name] for name in names if name in dataset.splits}
    drawn = folds > 1 or not {'train', 'val'} <= have
    if drawn:  # those of 'test' are kept apart
        splits = {name: 'test' if split == 'test' else 'train' for name, split in splits.items()}
    _part(splits, contents, _say_equal, without_faulty, plan)
    _part(splits, name_groups(names, group_by), _say_group, without_faulty, plan)
    if not drawn:
        return [splits]
    rest = [name for name, split in splits.items() if split == 'train']
    if not rest:
        raise UsageError("all pictures are in 'test', and none is left to train on; --new-split draws another split")
    units = group_pictures(rest, contents, group_by)
    if folds > 1:
        splits_of_folds = fold_pictures(units, labels, folds)
        always = sum(all(own[name] == 'train' for own in splits_of_folds) for name in rest)
        plan.notes.append(
            f'{len(rest)} pictures in {folds} folds, with each fine class in all of them where possible; '
            f'{always} with a name that no other has are always trained on'
            + ', and the split of the folders is not used'
            * bool({'train', 'val'} & have)
        )
        return [{**splits, **own} for own in splits_of_folds]
    splits.update(split_pictures(units, labels))
    number = list(splits.values()).count('val')
    kept = 'equal pictures, and those of one group, are' if group_by else 'equal pictures are'
    plan.notes.append(
        f'{number} of {len(rest)} pictures were drawn to validate on, with each fine class where possible; {kept} '
        'on one side' + ('' if group_by else '; --group-by keeps those of one patient or place together')
    )
    return [splits]


def _part(
    splits: dict[str, str],
    keys: Mapping[str, str],
    say: Callable[[str, Sequence[str], Sequence[str]], str],
    without_faulty: bool,
    plan: Plan,
) -> None:
    """Report pictures to train on of which another split has one with the same key, or leave them out, in place.

    Args:
        splits: Split by picture.
        keys: Key by picture.
        say: What is wrong, from the key, the pictures with it to train on, and those of other splits.
        without_faulty: Whether to leave them out.
        plan: Receives errors or warnings.
    """
    of_key: dict[str, list[str]] = {}
    for name, key in keys.items():
        of_key.setdefault(key, []).append(name)
    for key, own in of_key.items():
        trained, tested = ([name for name in own if splits[name] in wanted] for wanted in (['train'], ['val', 'test']))
        if trained and tested:
            message = f'{say(key, trained, tested)} trained on and tested on, which flatters the score'
            if without_faulty:
                splits.update(dict.fromkeys(trained, 'left out'))
                plan.warnings.append(f'{message}: left out of the training')
            else:
                plan.errors.append(f'{message}; take one out, or draw another split (--new-split)')


def _say_equal(_: str, trained: Sequence[str], tested: Sequence[str]) -> str:
    return f'{", ".join([*trained, *tested])}: the same picture is'


def _say_group(group: str, trained: Sequence[str], tested: Sequence[str]) -> str:
    return (
        f'{trained[0]}, {tested[0]}: the group {group!r} of --group-by ({len(trained)} and {len(tested)} pictures) is'
    )


def write_lists(
    root: Path, splits: Mapping[str, str], ending: str = '', often: Sequence[str] = (), repeats: int = 1
) -> int:
    """Write the names of the pictures of each split that has any, ``train.txt`` and others.

    Training pictures are listed ``repeats`` times, and those of ``often`` more often, so that they are a third. Returns
    the lines of ``train.txt``.
    """
    lines = 0
    for split in ('train', 'val', 'test'):
        own = sorted(name for name, chosen in splits.items() if chosen == split)
        rare = sorted(set(own) & set(often)) if split == 'train' else []
        if rare:
            own += rare * max(0, round((len(own) - len(rare)) / (2 * len(rare))) - 1)
        own *= repeats if split == 'train' else 1
        lines += len(own) * (split == 'train')
        if own:
            write_whole(root / f'{split}{ending}.txt', ('\n'.join(own) + '\n').encode())
    return lines
