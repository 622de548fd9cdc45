"""Masks from brightness for pictures with fine classes: ``tools/dataset_converters/threshold_masks.py``."""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TypeVar

import cv2
import numpy as np
from prettytable import PrettyTable
from rich.progress import track
from scipy.stats import spearmanr

from deepunetto_mm.datasets.integrity import require_sound
from deepunetto_mm.datasets.transforms.region_files import read_labels
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, UsageError
from deepunetto_mm.utils.files import csv_bytes, link_file, read_json, read_table, read_text, write_png, write_whole
from deepunetto_mm.utils.picture_files import read_picture
from deepunetto_mm.version import __version__

from .contact_sheet import contact_sheet, mask_tile
from .labelled_pictures import (
    LabelledPicture,
    list_pictures,
    make_taxonomy,
    pictures_of_folders,
    pictures_of_table,
    read_classes,
)
from .thresholding import THRESHOLD_CHANNELS, THRESHOLD_METHODS, ThresholdMask, ThresholdOptions, threshold_mask

JOURNAL = '.threshold_masks.jsonl'
FIGURES = ('threshold', 'area', 'separability', 'border', 'score')
COLUMNS = ('split', 'image', 'fine_class', 'status', 'channel', 'polarity', *FIGURES)
LABEL_COLUMNS = ('split', 'image', 'fine_class')
GOOD_IOU = 0.8
T = TypeVar('T')
R = TypeVar('R')


def options_of(args: argparse.Namespace, **others: str) -> ThresholdOptions:
    """The mask options of the command line, except for ``others``."""
    chosen = {field.name: getattr(args, field.name) for field in dataclasses.fields(ThresholdOptions)}
    return ThresholdOptions(**{**chosen, **others})


def find_pictures(args: argparse.Namespace) -> tuple[list[LabelledPicture], Taxonomy]:
    """The pictures, named as in the folder of their split, and the taxonomy."""
    taxonomy, ids = read_classes(args.classes) if args.classes else (None, {})
    if args.table:
        pictures = pictures_of_table(args.images, args.table, args.suffix, args.split, ids)
    else:
        pictures = pictures_of_folders(args.images, args.suffix, args.split or '')
    if taxonomy is None:
        # Of all splits, so that all get the same taxonomy.
        rows = [row for _, row in read_table(args.table, [])] if args.table else []
        found = {row.get('fine_class', '') for row in rows} | {picture.fine_class for picture in pictures}
        fine_classes = sorted(found - {''})
        if not fine_classes:
            raise DataError(f'{args.table}: no picture has a fine class, and there is no --classes')
        taxonomy = make_taxonomy({args.group: fine_classes})
    placed: dict[tuple[str, str], LabelledPicture] = {}
    for picture in pictures:
        if not is_below(picture.split):
            raise DataError(f'{args.table}: the split {picture.split!r} is not a valid folder name in --out-dir')
        if picture.fine_class:
            taxonomy.fine_index(picture.fine_class)  # raises an error with the class
        elif len(taxonomy.groups) > 1:
            raise DataError(f'{picture.path}: no fine class, which determines its generic class; fix the table')
        name = picture.name.removeprefix(f'{picture.split}/') if picture.split else picture.name
        other = placed.setdefault((picture.split, name), dataclasses.replace(picture, name=name))
        if other.path != picture.path:
            raise DataError(f'{picture.path} and {other.path} would both be picture {name!r}; rename one')
    return list(placed.values()), taxonomy


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, rotated by its EXIF orientation.

    Raises:
        DataError: If the file is truncated, too large, or not a picture.
    """
    require_sound(dict(img_path=str(path)), 'img_path')
    return cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB)


def in_parallel(work: Callable[[T], R], items: Sequence[T], workers: int, description: str) -> Iterator[R]:
    """Results in the order of the items, with a progress bar. Threads suffice: the slow calls release the GIL."""
    if workers < 1:
        raise UsageError(f'--workers must be at least 1, got {workers}')
    pool = ThreadPoolExecutor(workers)
    try:
        yield from track(pool.map(work, items), description=description, total=len(items))
    finally:
        pool.shutdown(cancel_futures=True)


def is_record(record: Any) -> bool:
    """Whether a line of the journal names only files in the output folder: such files may be removed."""
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), str) for key in ('place', 'suffix', 'split')
    ):
        return False
    if 'key' in record and not isinstance(record.get('score'), (int, float)):
        return False
    return is_below(record['place'] + record['suffix'])


def is_below(path: str) -> bool:
    """Whether a relative path stays in its folder."""
    return not Path(path).is_absolute() and '..' not in Path(path).parts


class Converter:
    """Writes the pictures and masks of one output folder, and a journal of those that are done."""

    def __init__(self, out_dir: Path, options: ThresholdOptions, taxonomy: Taxonomy, args: argparse.Namespace) -> None:
        self.out_dir, self.options, self.taxonomy = out_dir, options, taxonomy
        self.min_quality, self.copy, self.skip_errors = args.min_quality, args.copy, args.skip_errors
        self.journal: dict[str, dict[str, Any]] = {}
        if (out_dir / JOURNAL).is_file():
            for line in read_text(str(out_dir / JOURNAL)).splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):  # the run was killed while writing the line
                    continue
                if is_record(record):
                    self.journal[record['place']] = record

    def files(self, place: str, suffix: str) -> tuple[Path, Path]:
        """Picture and mask for a place, which is SPLIT/NAME or NAME."""
        return self.out_dir / 'images' / (place + suffix), self.out_dir / 'masks' / f'{place}.png'

    def __call__(self, picture: LabelledPicture) -> dict[str, Any]:
        """Make the mask of a picture, unless it exists; returns the picture's row of the journal."""
        place = '/'.join(filter(None, [picture.split, picture.name]))
        image_file, mask_file = self.files(place, picture.path.suffix)
        label = 1
        if picture.fine_class:
            label = self.taxonomy.group_of_fine[self.taxonomy.fine_index(picture.fine_class)] + 1
        try:
            stat = picture.path.stat()
            source = os.path.abspath(picture.path), stat.st_size, stat.st_mtime_ns, self.copy, label
            key = hashlib.sha256(repr((__version__, self.options, source)).encode()).hexdigest()
            record = self.journal.get(place, {})
            if record.get('key') != key or (
                record['score'] >= self.min_quality and not (image_file.exists() and mask_file.exists())
            ):
                found = threshold_mask(read_rgb(picture.path), self.options)
                figures = {name: round(getattr(found, name), 4) for name in FIGURES}
                record = dict(key=key, channel=found.channel, polarity=found.polarity, **figures)
                # The rounded score decides: a later run has only this.
                if record['score'] >= self.min_quality:
                    self._write(picture, found, label, image_file, mask_file)
            status = 'kept' if record['score'] >= self.min_quality else 'dropped'
        except (DataError, OSError) as error:
            if not self.skip_errors:
                raise
            record, status = {}, f'error: {error}'
        named = dict(place=place, suffix=picture.path.suffix, split=picture.split, image=picture.name)
        return {**record, **named, 'fine_class': picture.fine_class, 'status': status}

    def _write(
        self, picture: LabelledPicture, found: ThresholdMask, label: int, image_file: Path, mask_file: Path
    ) -> None:
        write_png(mask_file, found.mask * np.uint8(label))
        link_file(picture.path, image_file, shutil.copyfile if self.copy else os.symlink)

    def run(self, pictures: Sequence[LabelledPicture], workers: int) -> list[dict[str, Any]]:
        """The rows of all pictures; removes pictures of the same splits that only earlier runs kept."""
        self.out_dir.mkdir(parents=True, exist_ok=True)
        records = []
        with (self.out_dir / JOURNAL).open('a', encoding='utf-8') as journal:
            # Ends a partial line of a killed run.
            journal.write('\n')
            for record in in_parallel(self, pictures, workers, 'Making masks'):
                records.append(record)
                if record != self.journal.get(record['place']):
                    journal.write(json.dumps(record) + '\n')
                    journal.flush()
        splits = {record['split'] for record in records}
        kept = [record for record in records if record['status'] == 'kept']
        wanted = {file for record in kept for file in self.files(record['place'], record['suffix'])}
        for record in [*self.journal.values(), *records]:
            if record['split'] in splits:
                for file in self.files(record['place'], record['suffix']):
                    # A journal may have invalid file names.
                    if file not in wanted and os.path.lexists(file):
                        file.unlink()
        others = [record for record in self.journal.values() if record['split'] not in splits]
        lines = ''.join(json.dumps(record) + '\n' for record in [*others, *records])
        write_whole(self.out_dir / JOURNAL, lines.encode())
        return records


def write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]], splits: set[str]) -> None:
    """Write the rows of some splits; rows of other splits in the file remain."""
    former = [row for _, row in read_table(str(path), [])] if path.is_file() else []
    kept = [row for row in former if row.get('split', '') not in splits]
    write_whole(path, csv_bytes(columns, ([row.get(column, '') for column in columns] for row in [*kept, *rows])))


def require_alike(table: Path, splits: set[str]) -> None:
    """Pictures with and without a split have different folders and tables.

    Raises:
        UsageError: If a table of an earlier run and this run's pictures differ in this.
    """
    if table.is_file() and any(bool(row.get('split')) != ('' not in splits) for _, row in read_table(str(table), [])):
        raise UsageError(
            f'{table} is of pictures {"without" if "" not in splits else "with"} splits; use another folder'
        )


def write_taxonomy(path: Path, taxonomy: Taxonomy) -> None:
    """Write ``metainfo`` of the dataset, unless it exists.

    Raises:
        UsageError: If the file has another taxonomy: masks of other splits would have another meaning.
    """
    if path.is_file():
        content = read_json(str(path))
        if not isinstance(content, dict) or 'taxonomy' not in content:
            raise UsageError(f"{path} has no 'taxonomy'; remove the file, or use another --out-dir")
        change = Taxonomy.from_dict(content['taxonomy']).difference(taxonomy)
        if change:
            raise UsageError(f'{path} has another taxonomy ({change}); use another --out-dir, or give --classes')
    text = json.dumps(dict(taxonomy=taxonomy.to_dict()), indent=1, ensure_ascii=False)
    write_whole(path, (text + '\n').encode())


def write_sheet(
    path: Path,
    records: Sequence[dict[str, Any]],
    pictures: Sequence[LabelledPicture],
    options: ThresholdOptions,
    number: int,
) -> None:
    """Draw at most ``number`` pictures, from the worst score to the best in equal steps of rank."""
    readable = [pair for pair in zip(records, pictures) if 'score' in pair[0]]
    ranked = sorted(readable, key=lambda pair: (pair[0]['score'], pair[0]['place']))
    tiles = []
    for index in np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int):
        record, picture = ranked[index]
        image = read_rgb(picture.path)
        caption = f'{record["score"]:.2f} {record["status"]} {record["fine_class"]} {record["image"]}'
        tiles.append(mask_tile(image, threshold_mask(image, options).mask, caption))
    if tiles:
        write_png(path, contact_sheet(tiles, 8)[..., ::-1])


def convert(args: argparse.Namespace) -> None:
    """Write the dataset and list the pictures that were left out."""
    out_dir, options = Path(args.out_dir), options_of(args)
    if out_dir.resolve().is_relative_to(Path(args.images).resolve()):
        raise UsageError(f'--out-dir {out_dir} is within the folder of pictures {args.images}; use one outside')
    pictures, taxonomy = find_pictures(args)
    splits = {picture.split for picture in pictures}
    if '' in splits and len(splits) > 1:
        raise DataError(f'{args.table}: some rows have no split; give all of them a split')
    require_alike(out_dir / 'quality.csv', splits)
    write_taxonomy(out_dir / 'taxonomy.json', taxonomy)
    records = Converter(out_dir, options, taxonomy, args).run(pictures, args.workers)
    write_table(out_dir / 'quality.csv', COLUMNS, records, splits)
    if args.sheet > 0:
        write_sheet(out_dir / 'sheet.png', records, pictures, options, args.sheet)
    kept = [record for record in records if record['status'] == 'kept']
    write_table(out_dir / 'labels.csv', LABEL_COLUMNS['' in splits :], kept, splits)
    for record in records:
        if record['status'] != 'kept':
            score = f' (score {record["score"]:.2f})' if 'score' in record else ''
            print(f'left out: {record["place"]}: {record["status"]}{score}')
    print(f'{len(kept)} of {len(pictures)} pictures kept: {out_dir}')
    if not kept:
        raise DataError(
            f'no picture is left; the scores are in {out_dir / "quality.csv"}, and --min-quality is too high'
        )


def compare(args: argparse.Namespace) -> None:
    """Print the agreement of all methods and channels with the experts' masks."""
    pairs = []
    for name, path in list_pictures(args.images, args.suffix).items():
        image, mask_file = read_rgb(path), Path(args.compare) / f'{name}.png'
        if mask_file.is_file():
            require_sound(dict(seg_map_path=str(mask_file)), 'seg_map_path')
        try:
            expert = read_labels(str(mask_file))
        except (OSError, ValueError, SyntaxError):  # not there, or not a picture
            expert = None
        if expert is None or expert.shape != image.shape[:2]:
            raise DataError(f'{mask_file}: no mask of one channel and {image.shape[1]}x{image.shape[0]} pixels')
        pairs.append((image, np.isin(expert, args.foreground), expert != 255))
    print(f'{len(pairs)} pictures of {args.images}, object: mask values {args.foreground}')
    settings = [options_of(args, method=m, channel=c) for m in THRESHOLD_METHODS for c in (*THRESHOLD_CHANNELS, 'auto')]

    def measure(options: ThresholdOptions) -> list[str]:
        found = [threshold_mask(image, options) for image, _, _ in pairs]
        ious = np.array([iou(one.mask[known] > 0, expert[known]) for one, (_, expert, known) in zip(found, pairs)])
        scores = np.array([one.score for one in found])
        varies = len(pairs) > 2 and np.ptp(ious) > 0 and np.ptp(scores) > 0
        rank = f'{spearmanr(ious, scores)[0]:.2f}' if varies else '-'
        figures = f'{100 * ious.mean():.1f}', f'{100 * np.median(ious):.1f}', f'{100 * (ious >= GOOD_IOU).mean():.0f}'
        return [options.method, options.channel, *figures, rank]

    table = PrettyTable(['method', 'channel', 'mean IoU', 'median IoU', f'IoU {GOOD_IOU} or more, %', 'score ~ IoU'])
    table.add_rows(list(in_parallel(measure, settings, args.workers, 'Comparing')))
    table.align = 'r'
    table.align['method'] = table.align['channel'] = 'l'
    print(table)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two bool arrays; 1 if both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
