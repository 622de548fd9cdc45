"""The contents of a config's splits and their errors, as text and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Callable, Iterator, Optional, Sequence

from prettytable import PrettyTable

_SHOWN = 3  # findings of a kind in the text; all are in the JSON
_Cells = Iterator[tuple[str, str]]  # of a column of a table: name of the row, text


@dataclass(frozen=True)
class Finding:
    """A fault of the data.

    Attributes:
        level: ``'error'``, if training would stop or figures be wrong; or ``'warning'``, if it may be intended.
        kind: The fault in a few words; findings are counted by it.
        message: File, what is wrong, and the fix.
    """

    level: str
    kind: str
    message: str


@dataclass
class ClassCount:
    """Pixels of a segmentation class, and the number of pictures with any."""

    name: str
    pixels: int = 0
    pictures: int = 0


@dataclass
class FineCount:
    """Regions of a fine class, their median area in pixels, and pictures with it as a whole."""

    name: str
    group: str
    regions: int = 0
    median: Optional[float] = None
    pictures: int = 0


@dataclass
class RegionSizes:
    """Areas in pixels of a group's regions: the 0, 5, 50, 95 and 100 % quantiles."""

    group: str
    regions: int = 0
    percentiles: list[float] = field(default_factory=list)


@dataclass
class SplitReport:
    """One dataset of a config.

    Attributes:
        name: Its split, such as ``'train'``, or ``'val and test'`` if they are the same.
        dataset: Its class.
        pictures: Number of pictures.
        read: Number of pictures that were read, including unreadable ones.
        findings: The faults.
        sizes: Smallest and largest picture by area, each (width, height).
        classes: By segmentation class, if there are any.
        ignored_pixels: Number of ignored pixels.
        groups: By group of the taxonomy, if regions were loaded.
        fine_classes: By fine class, if regions were loaded or pictures have a fine label.
        regions: Number of regions, with and without a fine class.
        unnamed_regions: Regions without a fine class.
        without_region: Number of pictures without a region. That is normal.
        unknown_labels: By mask value that no class has: pixels, and masks.
    """

    name: str
    dataset: str
    pictures: int = 0
    read: int = 0
    findings: list[Finding] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    classes: list[ClassCount] = field(default_factory=list)
    ignored_pixels: int = 0
    groups: list[RegionSizes] = field(default_factory=list)
    fine_classes: list[FineCount] = field(default_factory=list)
    regions: int = 0
    unnamed_regions: int = 0
    without_region: int = 0
    unknown_labels: dict[int, tuple[int, int]] = field(default_factory=dict)

    def number(self, level: str) -> int:
        """Number of errors, or of warnings."""
        return sum(finding.level == level for finding in self.findings)


@dataclass
class DatasetReport:
    """All splits of a config.

    Attributes:
        config: The config file.
        splits: The report of each split.
        findings: Faults between splits.
    """

    config: str
    splits: list[SplitReport]
    findings: list[Finding] = field(default_factory=list)

    def number(self, level: str) -> int:
        """Number of errors, or of warnings."""
        return sum(part.number(level) for part in self.splits) + sum(item.level == level for item in self.findings)

    def to_json(self) -> str:
        """All figures and findings."""
        content = dict(errors=self.number('error'), warnings=self.number('warning'), **asdict(self))
        return json.dumps(content, indent=1)

    def to_text(self) -> str:
        """Tables of figures, then the faults, by split and kind with a few examples of each."""
        splits = self.splits
        parts = [_table(['split', 'dataset', 'pictures', 'sizes', 'without region'], [_row(part) for part in splits])]
        for title, cells_of in (
            ('class, share of pixels (pictures)', _class_cells),
            ('region sizes in pixels: 0, 5, 50, 95, 100 % (regions)', _size_cells),
            ('fine class, regions (median pixels), pictures', _fine_cells),
        ):
            if rows := _rows(splits, cells_of):
                parts.append(_table([title, *(part.name for part in splits)], rows))
        for level in ('error', 'warning'):
            lines = [
                line
                for name, findings in [*((part.name, part.findings) for part in splits), ('splits', self.findings)]
                for line in _lines(name, [item for item in findings if item.level == level])
            ]
            number = self.number(level)
            parts.append('\n'.join([f'{number} {level}{"s" * (number != 1)}' + ':' * bool(lines), *lines]))
        return '\n\n'.join(parts)


def _lines(name: str, findings: Sequence[Finding]) -> list[str]:
    lines = []
    for kind in dict.fromkeys(item.kind for item in findings):
        messages = [item.message for item in findings if item.kind == kind]
        lines.append(f'  {name}: {kind} ({len(messages)})')
        lines += [f'    {message}' for message in messages[:_SHOWN]]
        lines += [f'    and {len(messages) - _SHOWN} more'] * (len(messages) > _SHOWN)
    return lines


def _table(header: Sequence[str], rows: Sequence[list[str]]) -> str:
    table = PrettyTable(list(header))
    table.align = 'l'
    table.add_rows(rows)
    return table.get_string()


def _row(part: SplitReport) -> list[str]:
    pictures = f'{part.pictures}' if part.read == part.pictures else f'{part.read} of {part.pictures}'
    sizes = ' to '.join(dict.fromkeys(f'{width}x{height}' for width, height in part.sizes))
    return [part.name, part.dataset, pictures, sizes, str(part.without_region) if part.groups else '']


def _rows(splits: Sequence[SplitReport], cells_of: Callable[[SplitReport], _Cells]) -> list[list[str]]:
    """A row for each name, a column for each split."""
    rows: dict[str, list[str]] = {}
    for column, part in enumerate(splits):
        for name, text in cells_of(part):
            rows.setdefault(name, [''] * len(splits))[column] = text
    return [[name, *row] for name, row in rows.items()]


def _class_cells(part: SplitReport) -> _Cells:
    total = max(1, sum(entry.pixels for entry in part.classes) + part.ignored_pixels)
    for entry in part.classes:
        yield entry.name, f'{100 * entry.pixels / total:.2f} % ({entry.pictures})'
    if part.classes:
        yield '(ignored)', f'{100 * part.ignored_pixels / total:.2f} %'
    for value, (pixels, masks) in part.unknown_labels.items():
        yield f'(value {value}, no class)', f'{pixels} pixels ({masks})'


def _size_cells(part: SplitReport) -> _Cells:
    for entry in part.groups:
        sizes = ', '.join(f'{value:.0f}' for value in entry.percentiles)
        yield entry.group, f'{sizes} ({entry.regions})'.strip()


def _fine_cells(part: SplitReport) -> _Cells:
    for entry in part.fine_classes:
        size = '' if entry.median is None else f' ({entry.median:.0f})'
        texts = [f'{entry.regions}{size}'] * bool(part.groups) + [f'{entry.pictures} named'] * bool(entry.pictures)
        yield f'{entry.group}: {entry.name}', ', '.join(texts)
    if part.groups:
        yield '(no fine class)', str(part.unnamed_regions)
