"""The table of fine labels: a CSV file with one row per image, or one row per region."""

import unicodedata
from dataclasses import dataclass
from typing import Iterator, Optional, Union

from mmengine import fileio

from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_table

RegionNames = Union[str, dict[int, str], None]
_REQUIRED, _OPTIONAL = ('image', 'fine_class'), ('region', 'split')
_LARGEST_ID = 2**16 - 1


@dataclass
class ImageNames:
    """The table's labels of one image.

    Attributes:
        line: Line of the table on which the image is first named.
        names: The fine class of all regions of the image; or region id -> fine class; or None, not annotated.
    """

    line: int
    names: RegionNames


def read_label_table(
    path: str, taxonomy: Taxonomy, split: Optional[str] = None, backend_args: Optional[dict] = None
) -> dict[str, ImageNames]:
    """Read and check a table of fine labels.

    Args:
        path: CSV file in UTF-8 with the columns ``image`` and ``fine_class``, and optionally ``region`` and ``split``.
        taxonomy: The taxonomy with the fine classes.
        split: Rows of other splits are skipped. Required if and only if the table has the column ``split``.
        backend_args: Options of mmengine's file backends.

    Returns:
        Image name -> :class:`ImageNames`, in the order of the table.

    Raises:
        DataError: If the table cannot be read or contradicts itself; the message names file, line and fix.
    """
    table: dict[str, ImageNames] = {}
    seen: dict[tuple[str, Optional[int]], int] = {}
    for line, row in _select_split(path, _rows(path, backend_args), split):
        where = f'{path}, line {line}'
        image, fine_class, region = (
            row['image'],
            unicodedata.normalize('NFC', row['fine_class']),
            _region_id(where, row.get('region', '')),
        )
        if not image:
            raise DataError(f"{where}: the cell 'image' is empty; write the name of the image or remove the row")
        if fine_class:
            try:
                taxonomy.fine_index(fine_class)
            except TaxonomyError as error:
                raise DataError(f'{where}: {error}; fix the row or add the name to the taxonomy') from error
        what = f'image {image!r}' if region is None else f'region {region} of image {image!r}'
        if (image, region) in seen:
            raise DataError(f'{where}: {what} has a row on line {seen[image, region]} already; keep one of them')
        seen[image, region] = line

        entry = table.setdefault(image, ImageNames(line, {} if region is not None else None))
        if isinstance(entry.names, dict) != (region is not None):
            raise DataError(
                f'{where}: image {image!r} has a row without region and rows with one (see line '
                f'{entry.line}); label the whole image or its regions, not both'
            )
        if region is None:
            entry.names = fine_class or None
        elif fine_class:
            assert isinstance(entry.names, dict), 'entries are either by image or by region'
            entry.names[region] = fine_class
    return table


def _rows(path: str, backend_args: Optional[dict]) -> list[tuple[int, dict[str, str]]]:
    """All rows with their line numbers, cells stripped."""
    if not fileio.exists(path, backend_args=backend_args):
        raise DataError(
            f'{path}: no such file; write the table of fine labels, or set fine_label_file=None if there are none'
        )
    rows = read_table(path, _REQUIRED, _OPTIONAL, backend_args)
    if not rows:
        raise DataError(
            f'{path}: no row under the header; write a row for each annotated image, or set '
            'fine_label_file=None if there are none'
        )
    return rows


def _select_split(
    path: str, rows: list[tuple[int, dict[str, str]]], split: Optional[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    has_column = 'split' in rows[0][1]
    if split is None and not has_column:
        yield from rows
        return
    if not has_column:
        raise DataError(
            f"{path}: no column 'split' to select split={split!r} from; add the column or leave the option out"
        )
    splits = sorted({row['split'] for _, row in rows})
    if split is None:
        raise DataError(f"{path}: the column 'split' has {splits}; set split=... to select the rows of this dataset")
    if split not in splits:
        raise DataError(f"{path}: no row of split={split!r}; the column 'split' has {splits}")
    yield from ((line, row) for line, row in rows if row['split'] == split)


def _region_id(where: str, cell: str) -> Optional[int]:
    if not cell:
        return None
    # Python does not convert numbers of thousands of digits.
    if not (cell.isascii() and cell.isdigit() and len(cell) < 10) or not 1 <= int(cell) <= _LARGEST_ID:
        raise DataError(
            f'{where}: {cell!r} is not a region id; write its value in the region map, 1..{_LARGEST_ID}, '
            'or leave the cell empty to label the whole image'
        )
    return int(cell)
