"""Faults of the data as a whole, for which training would be wasted or should be looked at."""

from __future__ import annotations

from collections import Counter
from typing import Mapping, Sequence

from mmengine.config import Config

from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.verification import verify_datasets

from .fingerprint import Fingerprint, PictureFacts, count_names, find_slips
from .report import Plan

_SHOWN = 5


def look_for_faults(
    data: Fingerprint,
    facts: Sequence[PictureFacts],
    folds: Sequence[Mapping[str, str]],
    dataset: WrittenDataset,
    plan: Plan,
) -> None:
    """Faults of the whole, that reading single pictures does not show; the plan receives them."""
    taxonomy, whole = dataset.taxonomy, dataset.whole
    counts: dict[str, list[Counter]] = {
        split: [count_names([item for item in facts if own[item.name] == split], taxonomy) for own in folds]
        for split in ('train', 'val')
    }
    everywhere = counts['train'][0] + counts['val'][0]
    trained = set.intersection(*(set(own) for own in counts['train']))
    validated = set.union(*(set(own) for own in counts['val']))
    if taxonomy.groups and not data.regions:
        plan.errors.append('no picture has an object: there is nothing to learn')
    empty = [name for name, share in data.classes.items() if not share]
    if whole and len(taxonomy.fine_classes) < 2:
        plan.errors.append(
            f'all pictures are called {taxonomy.fine_classes[0]!r}, and there are no masks: nothing to learn'
        )
    elif whole:
        pass
    elif len(data.classes) - len(empty) < 2:
        only = next((name for name, share in data.classes.items() if share), 'ignored')
        plan.errors.append(f'all labelled pixels are of one class, {only!r}: nothing to learn')
    elif empty:
        plan.warnings.append(f'no pixel has the class {", ".join(empty)}')
    for rare, common, is_sure in find_slips(everywhere):
        message = f'{rare!r} ({everywhere[rare]} objects) may be {common!r} ({everywhere[common]})'
        if is_sure:
            plan.errors.append(f"{message}; give --rename '{rare}={common}', or other names")
        else:
            plan.warnings.append(f"{message}: --rename '{rare}={common}' makes them one")
    given = {'train', 'val'} <= set(dataset.splits.values())
    once = []
    for name in taxonomy.fine_classes:
        _, pictures, _ = data.fine_classes.get(name, (0, 0, 0.0))
        if not everywhere[name]:
            plan.warnings.append(f'no object is called {name!r}')
        elif name not in trained:
            fix = '--new-split draws another split' if given else 'annotate it in other pictures, or --rename it'
            plan.errors.append(f'{name!r} is in no training picture: it cannot be learnt; {fix}')
        elif pictures == 1:
            once.append(name)
    if once:
        what = 'is in one picture: it is' if len(once) == 1 else 'are in one picture each: they are'
        plan.warnings.append(f'{_quoted(once)} {what} trained on, and never validated')
    missing = [name for name in everywhere if name not in validated and data.fine_classes[name][1] > 1]
    if missing:
        fix = '--new-split draws another split' if given else '--folds 5 validates on every picture'
        plan.warnings.append(f'no validation picture has {_quoted(missing)}, whose figures are missing; {fix}')
    if taxonomy.groups and data.regions and data.without_region > 0.5 * data.pictures and not whole:
        plan.warnings.append(f'{data.without_region} of {data.pictures} pictures have no object')
    if data.unnamed > 0.5 and everywhere:
        plan.warnings.append(
            f'{100 * data.unnamed:.0f} % of the objects have no fine class, and train the segmentation alone'
        )


def _quoted(names: Sequence[str]) -> str:
    return ', '.join(map(repr, names[:_SHOWN])) + f' and {len(names) - _SHOWN} more' * (len(names) > _SHOWN)


def verify(cfg: Config, plan: Plan) -> None:
    """What the verification of the written config finds, as before a training; the plan receives it."""
    tested = cfg.test_dataloader != cfg.val_dataloader  # else they are read already
    report = verify_datasets(cfg, ('train', 'val', *['test'] * tested))
    every = [*report.findings, *(finding for part in report.splits for finding in part.findings)]
    for level, into in (('error', plan.errors), ('warning', plan.warnings)):
        of_kind: dict[str, list[str]] = {}
        for finding in every:
            if finding.level == level:
                of_kind.setdefault(finding.kind, []).append(finding.message)
        # These were said above, in the words of the user's own files.
        for kind in (
            'fine class without an object',
            'class without a pixel',
            'region without a fine class',
            'file of no picture',
        ):
            of_kind.pop(kind, None)
        for messages in of_kind.values():
            into += messages if level == 'error' else messages[:1]
            if level == 'warning' and len(messages) > 1:
                into[-1] += f' ({len(messages)} such)'
