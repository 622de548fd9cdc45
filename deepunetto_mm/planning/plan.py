"""The steps of ``tools/plan.py``: read, write, look, split, decide, try, write the config, verify."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from deepunetto_mm.annotations import FORMATS, WrittenDataset, read_annotations, write_dataset
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.utils.shipped_configs import read_config

from .budget import fit
from .classifier_text import classifier_text
from .config_text import config_text, fold_text, loading
from .decisions import Decisions, decide
from .faults import look_for_faults, verify
from .fingerprint import (
    Fingerprint,
    PictureFacts,
    look_at_bits,
    look_at_machine,
    look_at_pictures,
    rare_kind,
    summarise,
)
from .lists import split_dataset, write_lists
from .page import plan_page
from .report import Plan, describe, write_report
from .start_weights import read_network, write_start

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
    path = _put_earlier_aside(out_dir, name)
    network = None if options.start is None else read_network(options.start)
    form, given, dataset = _read(root, out_dir, options)
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
        return write_report(plan, out_dir, {})
    data = summarise(facts, dataset.taxonomy, bits)
    folds = split_dataset(dataset, facts, options.folds, options.group_by, options.without_faulty, plan)
    plan.with_faulty = bool(errors)  # so far
    splits = folds[0]
    training = [item for item in facts if splits[item.name] == 'train']
    if not training:
        errors.append(
            'no picture is left to train on; take those that are trained on out of the other splits, or draw another '
            'split (--new-split)'
        )
        return write_report(plan, out_dir, {})
    look_for_faults(data, facts, folds, dataset, plan)
    content: dict[str, Any] = dict(format=form, data=asdict(data), machine=asdict(machine), splits=splits)
    content.update(folds=len(folds), options=asdict(options), root=str(Path(root).resolve()))
    lines += describe(data, machine, splits, dataset.taxonomy)

    def page() -> str:
        def read(own: str) -> Mapping[str, Any]:
            return built.prepare_data(names.index(own))

        return plan_page(f'{name}: {root}', plan.to_text(), facts, splits, data, dataset.taxonomy, read)

    if errors:
        return write_report(plan, out_dir, content, page)
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
    listed = _write_all_lists(out_dir, name, dataset, folds, facts, chosen, plan.notes)
    validated, tested = (list(splits.values()).count(split) for split in ('val', 'test'))
    title = f'{Path(root).name}: {len(training)} pictures to train on, {validated} to validate' + (
        f', {tested} to test.' if tested else '.'
    )
    start = None if network is None else out_dir.resolve() / 'start.pth'

    def write(chosen: Decisions, epochs: int, interval: int, reason: str) -> Config:
        text_of = classifier_text if dataset.whole else config_text
        text = text_of(title, dataset, data, chosen, epochs, interval, reason, chosen.steps(listed), start, tested > 0)
        write_whole(path, text.encode())
        return read_config(path)

    chosen, seconds, (epochs, interval, reason) = fit(write, chosen, options.minutes, listed, validated)
    content['decisions'] = asdict(chosen)
    verify(write(chosen, epochs, interval, reason), plan)
    if network is not None and start is not None:
        content['kept'] = write_start(read_config(path), network, start)
        lines += ['', f'from {network.path}:', *(f'  {line}' for line in content['kept'])]
    content.update(step_seconds=seconds[0], val_seconds=seconds[1], epochs=epochs)
    lines += ['', f'{epochs} epochs: {reason}.']
    lines.append(f'The figures of the test are those of {_tested(len(folds), validated, tested)}.')
    lines += [f'{key.replace("_", " ")}: {reason}.' for key, reason in chosen.why.items()]
    if epochs < _FEW_EPOCHS:
        minutes = (20 * chosen.steps(listed) * seconds[0] + seconds[1] * validated) / 60
        warnings.append(
            f'{options.minutes:g} minutes are {epochs} epochs, which is little: 20 take {minutes:.0f} (--minutes)'
        )
    if not errors:
        plan.config = path
    return write_report(plan, out_dir, content, page)


def _tested(folds: int, validated: int, tested: int) -> str:
    if folds > 1:
        return 'the pictures that each fold validates on' + f", not of the {tested} of 'test'" * (tested > 0)
    return f"the {tested} pictures of 'test'" if tested else f"the {validated} pictures of 'val'"


def _dataset(dataset: WrittenDataset, names: Sequence[str], bits: tuple[int, float, float]) -> BaseDataset:
    write_whole(dataset.root / 'all.txt', ('\n'.join(names) + '\n').encode())
    blank = Fingerprint(0, (0, 0), [], True, *bits, classes={})
    picture, annotation = loading(dataset, blank)
    cfg = dataset.to_config('all.txt')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dict(cfg, pipeline=[picture, *annotation]))


def _put_earlier_aside(out_dir: Path, name: str) -> Path:
    """Rename configs of an earlier plan; returns the path of the new one."""
    path = out_dir / f'{name}.py'
    for earlier in [path, *out_dir.glob(f'{name}_fold[0-9]*.py')]:
        if earlier.is_file() and not earlier.stem.endswith('.before'):
            earlier.replace(earlier.with_suffix('.before.py'))
    return path


def _read(root: str, out_dir: Path, options: PlanOptions) -> tuple[str, int, WrittenDataset]:
    """The form of the annotations, the number of their pictures, and the data in our layout."""
    form, found = read_annotations(root, options.form, options.masks_are)
    given = len(found.scenes) + len(found.problems)
    if options.new_split:
        for scene in found.scenes:  # folders of splits may have the same names
            scene.name, scene.split = f'{scene.split}_{scene.name}' if scene.split else scene.name, ''
    return form, given, write_dataset(found, out_dir / 'data', options.renamed, options.fine_key, options.classes)


def _write_all_lists(
    out_dir: Path,
    name: str,
    dataset: WrittenDataset,
    folds: Sequence[Mapping[str, str]],
    facts: Sequence[PictureFacts],
    chosen: Decisions,
    notes: list[str],
) -> int:
    """Write the lists of the split, and those of all folds with their configs; returns the pictures of an epoch."""
    often = [item.name for item in rare_kind(facts)]
    listed = write_lists(dataset.root, folds[0], often=often, repeats=chosen.repeats)
    if listed > chosen.repeats * list(folds[0].values()).count('train'):
        notes.append(
            f'{len(often)} of {len(facts)} pictures are of another kind, darker or brighter than the others: those to '
            f'train on are listed several times in train.txt, so that they are a third of the {listed} of an epoch'
        )
    if len(folds) > 1:
        for number, own in enumerate(folds, start=1):
            write_lists(dataset.root, own, f'_fold{number}', often, chosen.repeats)
            write_whole(out_dir / f'{name}_fold{number}.py', fold_text(name, number, len(folds)).encode())
    return listed
