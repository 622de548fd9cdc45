"""Reading and checking the data of a config before training."""

import copy
import inspect
import os
import time
from collections import Counter
from typing import Any, Iterator, Optional, Sequence

import cv2
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from mmseg.datasets import BaseSegDataset
from rich.progress import track
from torch.utils.data import DataLoader

from deepunetto_mm.datasets import CoarseFineDataset, DataError
from deepunetto_mm.datasets.file_names import left_out
from deepunetto_mm.utils.config_parts import as_list, dataset_parts, type_name
from deepunetto_mm.utils.errors import UsageError, message_of

from .batch_sizes import batch_findings
from .dataset_report import DatasetReport, Finding, SplitReport
from .dataset_summary import summarise
from .sample_reader import SampleFacts, SampleReader, taxonomy_of

SPLITS = ('train', 'val', 'test')


def verify_datasets(cfg: Config, splits: Sequence[str] = SPLITS, workers: int = 0) -> DatasetReport:
    """Read every sample of every split.

    Besides errors of single samples, the report has classes missing in splits, files without a picture, and
    pictures that occur twice.

    Args:
        cfg: The config. Splits without a dataloader are skipped.
        splits: The splits to read.
        workers: Number of processes that read; 0 reads in this one.

    Raises:
        UsageError: If the config has none of the splits, or a dataset of unknown type.
    """
    reports: list[SplitReport] = []
    contents: list[tuple[str, list[SampleFacts]]] = []
    leftovers: dict[str, list[str]] = {}
    used: set[str] = set()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmseg')):
        for name, dataset_cfg in list_datasets(cfg, splits):
            try:
                dataset, problems = _survey(dataset_cfg)
            except (ValueError, OSError, AssertionError) as error:
                unusable = Finding('error', 'dataset that cannot be built', message_of(error))
                reports.append(SplitReport(name, type_name(dataset_cfg), findings=[unusable]))
                continue
            facts = list(_read(SampleReader(dataset), workers, f'Reading {name} data'))
            report = summarise(name, dataset, facts)
            report.findings[:0] = [*(Finding('error', error.kind, str(error)) for error in problems), *_notes(dataset)]
            if name.startswith('train'):
                report.findings += batch_findings(cfg, [(dataset, list(zip(range(len(facts)), facts)))])
            reports.append(report)
            contents.append((name, facts))
            leftovers[name] = _leftovers(dataset)
            used |= {os.path.normpath(path) for item in facts for path in item.files}
    for report in reports:
        for path in leftovers.get(report.name, []):
            if os.path.normpath(path) not in used:
                used.add(os.path.normpath(path))  # splits may share a folder: report once
                message = f'{path}: no picture belongs to it, and it is not used'
                report.findings.append(Finding('warning', 'file of no picture', message))
    return DatasetReport(cfg.filename or '', reports, _repetitions(contents))


def check_sample(cfg: Config, number: int = 50, seconds: float = 5.0) -> str:
    """Read a few samples of the training and validation data.

    Args:
        cfg: The config.
        number: Samples per split, random but the same ones each time.
        seconds: Time limit for reading, with at least one sample per split. Listing the files is not included.

    Returns:
        A line with the number of samples and the warnings.

    Raises:
        DataError: The first error of the data. If there are no masks to validate on.
    """
    read, warnings, begin = [], [], time.monotonic()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmseg')):
        try:
            datasets = list_datasets(cfg, SPLITS[:2])
        except UsageError as error:
            return f'data not checked: {error}'
        trained = []
        for name, dataset_cfg in datasets:
            dataset = _build(dataset_cfg)
            begin_of_split = time.monotonic()
            chosen = np.random.default_rng(0).permutation(len(dataset))[:number].tolist()
            facts = []
            for item in _read(SampleReader(dataset, chosen)):
                facts.append(item)
                if time.monotonic() > begin_of_split + seconds / len(datasets):
                    break
            _require_masks_to_score(cfg, name, dataset, facts)
            findings = [finding for item in facts for finding in item.findings]
            if name.startswith('train'):
                trained.append((dataset, list(zip(chosen, facts))))
                findings += batch_findings(cfg, trained)
            errors = [finding for finding in findings if finding.level == 'error']
            skips = any(type_name(hook) == 'SkipBadSamplesHook' for hook in cfg.get('custom_hooks') or [])
            if errors and not (skips and name.startswith('train')):
                raise DataError(
                    f'{errors[0].message} ({len(errors)} errors in {len(facts)} of {len(dataset)} pictures of {name}. '
                    f'tools/misc/verify_dataset.py {cfg.filename} lists all; --no-data-check trains nonetheless)'
                )
            warnings += [(name, finding) for finding in [*_notes(dataset), *findings]]
            read.append(f'{len(facts)} of {len(dataset)} pictures of {name}')
    return f'data checked: {", ".join(read)} in {time.monotonic() - begin:.1f} s{_noticed(warnings)}'


def _noticed(warnings: Sequence[tuple[str, Finding]]) -> str:
    """The first warning of each kind in a split, and the number of such warnings."""
    if not warnings:
        return ', nothing noticed'
    kinds = Counter((name, finding.kind) for name, finding in warnings)
    first = {(name, finding.kind): finding.message for name, finding in reversed(warnings)}
    shown = [
        f'{name}: {first[name, kind]}{f" ({number} such)" * (number > 1)}' for (name, kind), number in kinds.items()
    ]
    return f'; {len(warnings)} warning{"s" * (len(warnings) > 1)}: {". ".join(shown)}'


def _notes(dataset: BaseDataset) -> list[Finding]:
    """Warnings of what a dataset leaves out."""
    notes = getattr(dataset, 'notes', [])
    if isinstance(dataset, BaseSegDataset) and not isinstance(dataset, CoarseFineDataset):
        folder = dataset.data_prefix['img_path']
        is_listed = dataset.ann_file and os.path.isfile(dataset.ann_file)
        if not is_listed and not dataset.backend_args and os.path.isdir(folder):
            others = [dataset.seg_map_suffix] * (dataset.data_prefix.get('seg_map_path') == folder)
            links, notes = left_out(folder, dataset.img_suffix, others)
            notes += links
    return [Finding('warning', note.kind, str(note)) for note in notes]


def list_datasets(cfg: Config, splits: Sequence[str] = SPLITS) -> list[tuple[str, Any]]:
    """The datasets of a config with their split, wrappers unwrapped; in order, equal ones once.

    Raises:
        UsageError: If there is none, or a dataset is not one of mmengine's kind.
    """
    found: list[tuple[str, Any]] = []
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        parts = dataset_parts(loader.dataset)
        for number, part in enumerate(parts):
            _require_samples(part)
            name = split if len(parts) == 1 else f'{split}[{number}]'
            same = [index for index, (_, other) in enumerate(found) if other == part]
            if same:
                found[same[0]] = f'{found[same[0]][0]} and {name}', part
            else:
                found.append((name, part))
    if not found:
        raise UsageError(f'the config {cfg.filename} has no {", ".join(f"{split}_dataloader" for split in splits)}')
    return found


def _require_samples(dataset_cfg: Any) -> None:
    kind = _class_of(dataset_cfg) if isinstance(dataset_cfg, dict) else None
    # An unknown name is left to the builder, whose error is more specific.
    if kind is not None and not (inspect.isclass(kind) and issubclass(kind, BaseDataset)):
        raise UsageError(
            f"the dataset {type_name(dataset_cfg)} is not a BaseDataset of mmengine, nor a wrapper with 'dataset' "
            "or 'datasets': its samples cannot be listed"
        )


def _class_of(dataset_cfg: dict) -> Any:
    kind = dataset_cfg.get('type')
    if not isinstance(kind, str):
        return kind
    with DATASETS.switch_scope_and_registry(None) as registry:
        return registry.get(kind)


def _build(dataset_cfg: Any) -> BaseDataset:
    dataset = DATASETS.build(copy.deepcopy(dataset_cfg)) if isinstance(dataset_cfg, dict) else dataset_cfg
    dataset.full_init()
    return dataset


def _survey(dataset_cfg: Any) -> tuple[BaseDataset, list[DataError]]:
    """A dataset of the usable samples, and the errors of its lists."""
    kind = _class_of(dataset_cfg) if isinstance(dataset_cfg, dict) else None
    if inspect.isclass(kind) and issubclass(kind, CoarseFineDataset):
        dataset_cfg = copy.deepcopy(dataset_cfg)
        dataset_cfg['lazy_init'] = True  # not dict(...), which would not resolve the classes of a pure Python config
        dataset = DATASETS.build(dataset_cfg)
        return dataset, dataset.survey()
    return _build(dataset_cfg), []


def _read(reader: SampleReader, workers: int = 0, description: Optional[str] = None) -> Iterator[SampleFacts]:
    """All items of a reader, in order; with a description, behind a progress bar."""
    workers = min(workers, len(reader))
    loader: DataLoader = DataLoader(
        reader,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_without_threads,
    )
    done = 0
    try:
        for facts in track(loader, description, total=len(reader)) if description else loader:
            yield facts
            done += 1
    except RuntimeError as error:
        if 'DataLoader worker' not in str(error):
            raise
        # Each may have been given two samples beyond the awaited one.
        pending = [reader.path(position) for position in range(done, min(len(reader), done + 2 * workers))]
        raise DataError(
            f'a process died while it read one of {pending}: out of memory, or a file that crashes its decoder; '
            '--workers 0 shows more'
        ) from error


def _without_threads(worker: int) -> None:
    cv2.setNumThreads(0)


def _leftovers(dataset: BaseDataset) -> list[str]:
    """Masks and region maps in the dataset's folders without a picture of the same name."""
    if not isinstance(dataset, BaseSegDataset):
        return []
    options = dict(list_dir=False, recursive=True, backend_args=dataset.backend_args)
    suffix, found = dataset.img_suffix, []
    folder = dataset.data_prefix.get('img_path')
    # Without a folder of pictures, a list of files names them.
    if not folder or not fileio.isdir(folder, backend_args=dataset.backend_args):
        return []
    pictures = fileio.list_dir_or_file(folder, suffix=suffix, **options)
    names = {file[: -len(suffix)] for file in pictures}
    for key, ending in (
        ('seg_map_path', dataset.seg_map_suffix),
        ('region_map_path', getattr(dataset, 'region_map_suffix', '')),
    ):
        folder = dataset.data_prefix.get(key)
        if folder and fileio.isdir(folder, backend_args=dataset.backend_args):
            for file in sorted(fileio.list_dir_or_file(folder, suffix=ending, **options)):
                if file[: -len(ending)] not in names:
                    found.append(fileio.join_path(folder, file))
    return found


def _repetitions(contents: Sequence[tuple[str, list[SampleFacts]]]) -> list[Finding]:
    """Pictures with the same pixels, whatever their file names."""
    findings = [
        Finding('error', 'training data that is test data', f'{name} are the same dataset, which flatters the score')
        for name, _ in contents
        if name.startswith('train') and not all(part.startswith('train') for part in name.split(' and '))
    ]
    places: dict[bytes, list[tuple[str, str]]] = {}
    for name, facts in contents:
        for item in facts:
            if item.content is not None:
                places.setdefault(item.content, []).append((name, item.path))
    for where in places.values():
        trained = {name.startswith('train') for name, _ in where}
        files = {os.path.normpath(path) for _, path in where}
        # val and test may well be the same files, and a dataset may list a picture several times, to draw it often.
        if len(set(where)) == 1 or (trained == {False} and len(files) == 1):
            continue
        shown = ', '.join(f'{path} ({name})' for name, path in where)
        if len(trained) == 2:
            message = f'{shown}: the same picture is trained on and tested on, which flatters the score; take one out'
            findings.append(Finding('error', 'picture in training and test data', message))
        else:
            findings.append(Finding('warning', 'picture twice', f'{shown}: the same picture, which counts double'))
    return findings


def _require_masks_to_score(cfg: Config, name: str, dataset: BaseDataset, facts: Sequence[SampleFacts]) -> None:
    """Raise if validation would fail after an epoch of training, because there are no masks."""
    metrics = [
        type_name(evaluator)
        for evaluator in as_list(cfg.get('val_evaluator') or [])
        if type_name(evaluator) in ('IoUMetric', 'FineGrainedMetric') and not evaluator.get('format_only')
    ]
    annotated = [item.class_pixels is not None or item.areas is not None or bool(item.findings) for item in facts]
    if name.startswith('val') and metrics and facts and not any(annotated) and taxonomy_of(dataset) is not None:
        raise DataError(
            f'the validation data have no masks, and {", ".join(metrics)} would have nothing to compare: name the '
            'folder of masks, or train without validation by val_dataloader=None, val_cfg=None and val_evaluator=None'
        )
