"""The steps of ``tools/plan.py``: read, write, look, split, decide, try, write the config, verify."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from deepunetto_mm.annotations import FORMATS, WrittenDataset, read_annotations, write_dataset
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.utils.shipped_configs import read_config
from deepunetto_mm.verification import verify_datasets

from .classifier_text import classifier_text
from .config_text import config_text, fold_text, loading
from .decisions import decide, epochs_of, fit_to_steps, with_smaller_crops
from .fingerprint import (
    Fingerprint,
    Machine,
    PictureFacts,
    count_names,
    find_slips,
    look_at_bits,
    look_at_machine,
    look_at_pictures,
    rare_kind,
    summarise,
)
from .page import plan_page
from .split import fold_pictures, group_pictures, split_pictures
from .start_weights import read_network, write_start
from .timed_step import time_step

_SHOWN = 5
_FEW_EPOCHS = 8


@dataclass
class PlanOptions:
    """What a user may say; None where the data decide.

    Attributes:
        minutes: For the training.
        form: One of :data:`deepunetto_mm.annotations.FORMATS`.
        masks_are: ``'classes'`` or ``'ids'``.
        classes: Names of the mask values.
        renamed: Other names by label.
        fine_key: The attribute that has the fine class.
        group_by: Regular expression of the pictures that belong together.
        new_split: Draw a split even if the folders have one.
        folds: Number of splits for cross-validation; 1 for none.
        encoder: ``'efficientnet-lite0'`` or ``'scratch'``.
        luminance: The segmentation sees brightness only.
        any_way_up: Objects may be turned.
        start: A checkpoint to go on from.
        without_faulty: Go on without the pictures that have errors.
        cores: Cores that the training may use.
    """

    minutes: float = 30.0
    form: Optional[str] = None
    masks_are: Optional[str] = None
    classes: Optional[Sequence[str]] = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    fine_key: Optional[str] = None
    group_by: Optional[str] = None
    new_split: bool = False
    folds: int = 1
    encoder: Optional[str] = None
    luminance: bool = False
    any_way_up: Optional[bool] = None
    start: Optional[str] = None
    without_faulty: bool = False
    cores: int = 1


@dataclass
class Plan:
    """What was found and decided.

    Attributes:
        config: The written config; None if training would be wasted.
        errors: Why it would be.
        warnings: What may be wrong.
        notes: What was decided about the annotations.
        lines: The plan in words.
    """

    config: Optional[Path]
    errors: list[str]
    warnings: list[str]
    notes: list[str]
    lines: list[str]

    def to_text(self) -> str:
        """The plan for people."""
        parts = list(self.lines)
        for title, messages in (('What was assumed', self.notes), ('Look at', self.warnings)):
            if messages:
                parts += [f'\n{title}:', *[f'  - {message}' for message in messages]]
        if self.errors:
            parts += [
                f'\n{len(self.errors)} error{"s" * (len(self.errors) > 1)}; training would be wasted:',
                *[f'  - {message}' for message in self.errors[: 4 * _SHOWN]],
                *[f'  and {len(self.errors) - 4 * _SHOWN} more in plan.json'] * (len(self.errors) > 4 * _SHOWN),
            ]
        return '\n'.join(parts) + '\n'


def make_plan(root: str, out_dir: Path, name: str, options: PlanOptions) -> Plan:
    """Look at a folder of pictures, and write a config, a report as text and as JSON, and the data in our layout.

    Args:
        root: Pictures and annotations.
        out_dir: Output folder, for ``NAME.py``, ``plan.txt``, ``plan.json`` and ``data/``; with folds, also for a
            ``NAME_foldN.py`` each. Configs of an earlier plan, which may have been changed by hand, become
            ``NAME.before.py``.
        name: Of the config.
        options: What a user says.

    Raises:
        DataError: If the folder has nothing that can be read.
        UsageError: If an option does not fit.
    """
    if Path(out_dir).resolve().is_relative_to(Path(root).resolve()):
        raise UsageError(f'the output folder {out_dir} is within the folder of pictures {root}; use one outside')
    path = out_dir / f'{name}.py'
    for earlier in [path, *out_dir.glob(f'{name}_fold[0-9]*.py')]:
        if earlier.is_file() and not earlier.stem.endswith('.before'):
            earlier.replace(earlier.with_suffix('.before.py'))
    network = None if options.start is None else read_network(options.start)
    form, found = read_annotations(root, options.form, options.masks_are)
    given = len(found.scenes) + len(found.problems)
    if options.new_split:
        for scene in found.scenes:  # folders of splits may have the same names
            scene.name, scene.split = f'{scene.split}_{scene.name}' if scene.split else scene.name, ''
    dataset = write_dataset(found, out_dir / 'data', options.renamed, options.fine_key, options.classes)
    machine = look_at_machine(options.cores)
    lines = [f'{root}: {FORMATS[form].WHAT}']
    errors, warnings = [], []
    if options.without_faulty:
        warnings += [f'left out: {problem}' for problem in dataset.problems]
    else:
        errors += [str(problem) for problem in dataset.problems]
    names = sorted(
        path.relative_to(dataset.root / 'masks').with_suffix('').as_posix()
        for path in (dataset.root / 'masks').rglob('*.png')
    )
    paths = [str(dataset.root / 'images' / (own + dataset.img_suffix)) for own in names]
    bits = look_at_bits(paths)
    built = _dataset(dataset, names, bits)
    facts, problems = look_at_pictures(built, names, dataset.taxonomy)
    (warnings if options.without_faulty else errors).extend(str(problem) for problem in problems)
    plan = Plan(None, errors, warnings, dataset.notes, lines)
    if len(facts) < 2:
        errors.append(
            f'{len(facts)} of {given} pictures can be used, and at least 2 are needed: annotate more, or cut a large '
            'one into parts'
        )
        return _finish(plan, out_dir, {})
    data = summarise(facts, dataset.taxonomy, bits)
    folds = _split(dataset, facts, options, plan)
    splits = folds[0]
    training = [item for item in facts if splits[item.name] == 'train']
    _look_for_faults(data, facts, folds, dataset, plan)
    content: dict[str, Any] = dict(format=form, data=asdict(data), machine=asdict(machine), splits=splits)
    content['folds'] = len(folds)
    lines += _describe(data, machine, splits, dataset.taxonomy)

    def page() -> str:
        def read(own: str) -> Mapping[str, Any]:
            return built.prepare_data(names.index(own))

        return plan_page(f'{name}: {root}', plan.to_text(), facts, splits, data, dataset.taxonomy, read)

    if errors:
        return _finish(plan, out_dir, content, page)
    chosen = decide(
        data,
        machine,
        dataset.taxonomy,
        len(training),
        options.encoder,
        options.luminance,
        options.any_way_up,
        network,
        dataset.whole,
        dataset.composed is not None and not dataset.with_regions,
    )
    often = [item.name for item in rare_kind(facts)]
    listed = write_lists(dataset.root, splits, often=often, repeats=chosen.repeats)
    if listed > chosen.repeats * len(training):
        plan.notes.append(
            f'{len(often)} of {len(facts)} pictures are of another kind, darker or brighter than the others: those to '
            f'train on are listed several times in train.txt, so that they are a third of the {listed} of an epoch'
        )
    if len(folds) > 1:
        for number, own in enumerate(folds, start=1):
            write_lists(dataset.root, own, f'_fold{number}', often, chosen.repeats)
            write_whole(out_dir / f'{name}_fold{number}.py', fold_text(name, number, len(folds)).encode())
    validated = list(splits.values()).count('val')
    title = f'{Path(root).name}: {len(training)} pictures to train on, {validated} to validate.'
    steps = max(1, listed // chosen.batch)
    start = None if network is None else out_dir.resolve() / 'start.pth'

    def write(epochs: int, interval: int, reason: str) -> Config:
        text_of = classifier_text if dataset.whole else config_text
        text = text_of(title, dataset, data, chosen, epochs, interval, reason, steps, start)
        write_whole(path, text.encode())
        return read_config(path)

    step_seconds, val_seconds = time_step(write(1, 1, 'not timed yet'))
    epochs, interval, reason = epochs_of(options.minutes, steps, step_seconds, val_seconds * validated)
    smaller = with_smaller_crops(chosen, steps * epochs)
    if smaller is not None:
        chosen = smaller
        step_seconds, val_seconds = time_step(write(1, 1, 'not timed yet'))
        epochs, interval, reason = epochs_of(options.minutes, steps, step_seconds, val_seconds * validated)
    chosen = fit_to_steps(chosen, steps * epochs)
    content['decisions'] = asdict(chosen)
    _verify(write(epochs, interval, reason), plan)
    if network is not None and start is not None:
        content['kept'] = write_start(read_config(path), network, start)
        lines += ['', f'from {network.path}:', *(f'  {line}' for line in content['kept'])]
    content.update(step_seconds=step_seconds, val_seconds=val_seconds, epochs=epochs)
    lines += ['', f'{epochs} epochs: {reason}.']
    lines += [f'{key.replace("_", " ")}: {reason}.' for key, reason in chosen.why.items()]
    if epochs < _FEW_EPOCHS:
        minutes = (20 * steps * step_seconds + val_seconds * validated) / 60
        warnings.append(
            f'{options.minutes:g} minutes are {epochs} epochs, which is little: 20 take {minutes:.0f} (--minutes)'
        )
    if not errors:
        plan.config = path
    return _finish(plan, out_dir, content, page)


def _dataset(dataset: WrittenDataset, names: Sequence[str], bits: tuple[int, float, float]) -> BaseDataset:
    write_whole(dataset.root / 'all.txt', ('\n'.join(names) + '\n').encode())
    blank = Fingerprint(0, (0, 0), [], True, *bits, classes={})
    picture, annotation = loading(dataset, blank)
    cfg = dataset.to_config('all.txt')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dict(cfg, pipeline=[picture, *annotation]))


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


def _split(
    dataset: WrittenDataset, facts: Sequence[PictureFacts], options: PlanOptions, plan: Plan
) -> list[dict[str, str]]:
    """Split by picture's name: that of the folders, or one drawn here; or several, the folds."""
    names = [item.name for item in facts]
    contents = {item.name: item.content for item in facts}
    labels = {
        item.name: [dataset.taxonomy.fine_classes[label] for label in sorted(set(item.fine.tolist())) if label >= 0]
        or [f'class {index}' for index in item.pixels[:-1].nonzero()[0].tolist()]
        for item in facts
    }
    splits = {name: dataset.splits[name] for name in names if name in dataset.splits}
    have = set(splits.values())
    if options.folds > 1:
        rest = [name for name in names if splits.get(name) != 'test']
        apart = {name: 'test' for name in names if splits.get(name) == 'test'}
        folds = fold_pictures(group_pictures(rest, contents, options.group_by), labels, options.folds)
        always = sum(all(own[name] == 'train' for own in folds) for name in rest)
        plan.notes.append(
            f'{len(rest)} pictures in {options.folds} folds, with each fine class in all of them where possible; '
            f'{always} with a name that no other has are always trained on'
            + ', and the split of the folders is not used'
            * bool({'train', 'val'} & have)
        )
        return [{**own, **apart} for own in folds]
    if not {'train', 'val'} <= have:
        # 'test' is kept apart.
        rest = [name for name in names if splits.get(name) != 'test']
        units = group_pictures(rest, contents, options.group_by)
        splits.update(split_pictures(units, labels))
        number = list(splits.values()).count('val')
        kept = 'equal pictures, and those of one group, are' if options.group_by else 'equal pictures are'
        plan.notes.append(
            f'{number} of {len(rest)} pictures were drawn to validate on, with each fine class where possible; {kept} '
            'on one side' + ('' if options.group_by else '; --group-by keeps those of one patient or place together')
        )
        return [splits]
    of_content: dict[str, list[str]] = {}
    for name in names:
        of_content.setdefault(contents[name], []).append(name)
    for own in of_content.values():
        if len({splits[name] for name in own} & {'train'}) and len({splits[name] for name in own}) > 1:
            message = f'{", ".join(own)}: the same picture is trained on and tested on, which flatters the score'
            if options.without_faulty:
                for name in own:
                    splits[name] = 'left out' if splits[name] == 'train' else splits[name]
                plan.warnings.append(f'{message}: left out of the training')
            else:
                plan.errors.append(f'{message}; take one out, or draw another split (--new-split)')
    return [splits]


def _look_for_faults(
    data: Fingerprint,
    facts: Sequence[PictureFacts],
    folds: Sequence[Mapping[str, str]],
    dataset: WrittenDataset,
    plan: Plan,
) -> None:
    """Faults of the whole, that reading single pictures does not show."""
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
    once = []
    for name in taxonomy.fine_classes:
        _, pictures, _ = data.fine_classes.get(name, (0, 0, 0.0))
        if not everywhere[name]:
            plan.warnings.append(f'no object is called {name!r}')
        elif name not in trained:
            plan.errors.append(
                f'{name!r} is in no training picture: it cannot be learnt; --new-split draws another split'
            )
        elif pictures == 1:
            once.append(name)
    if once:
        what = 'is in one picture: it is' if len(once) == 1 else 'are in one picture each: they are'
        plan.warnings.append(f'{_quoted(once)} {what} trained on, and never validated')
    missing = [name for name in everywhere if name not in validated and data.fine_classes[name][1] > 1]
    if missing:
        given = {'train', 'val'} <= set(dataset.splits.values())
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


def _verify(cfg: Config, plan: Plan) -> None:
    report = verify_datasets(cfg, ('train', 'val'))
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


def _describe(data: Fingerprint, machine: Machine, splits: Mapping[str, str], taxonomy: Taxonomy) -> list[str]:
    counted = Counter(splits.values())
    sizes = ' to '.join(dict.fromkeys(f'{width}x{height}' for width, height in data.sizes))
    lines = [
        f'{data.pictures} pictures of {sizes} pixels, {data.bits} bits: '
        + ', '.join(f'{number} {split}' for split, number in sorted(counted.items())),
        'classes: ' + ', '.join(f'{name} {100 * share:.1f} %' for name, share in data.classes.items()),
    ]
    if data.regions:
        lines.append(
            f'{data.regions} objects, {data.regions_a_picture:g} in a picture (median), {data.area[2]:.0f} pixels '
            f'(5 to 95 %: {data.area[1]:.0f} to {data.area[3]:.0f}); {100 * data.touching:.0f} % touch another, '
            f'{data.without_region} pictures have none'
        )
        for group in taxonomy.groups:
            own = [f'{name} {data.fine_classes[name][0]}' for name in group.fine_classes]
            lines.append(f'{group.name}: ' + ', '.join(own))
    gpu = f', {machine.gpu} of {machine.gpu_memory:g} GiB' if machine.gpu else ', no GPU'
    lines.append(f'machine: {machine.cores} cores, {machine.memory:g} GiB{gpu}, torch {machine.torch}')
    return lines


def _finish(plan: Plan, out_dir: Path, content: dict[str, Any], page: Optional[Callable[[], str]] = None) -> Plan:
    content.update(errors=plan.errors, warnings=plan.warnings, notes=plan.notes)
    write_whole(out_dir / 'plan.json', json.dumps(content, indent=1, ensure_ascii=False, default=str).encode())
    write_whole(out_dir / 'plan.txt', plan.to_text().encode())
    if page is not None:
        write_whole(out_dir / 'plan.html', page().encode())
    return plan
