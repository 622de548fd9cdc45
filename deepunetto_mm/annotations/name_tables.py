"""Tables that give names to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_table

from .scenes import split_of

# Columns of tables, in lower case; the first that a table has counts.
_IMAGES = ('image', 'filename', 'file_name', 'file', 'image_name', 'image_id', 'imageid', 'img', 'path', 'id')
_NAMES = (
    'fine_class', 'label', 'class', 'class_name', 'category', 'name', 'species', 'breed', 'type', 'diagnosis', 'dx'
)  # fmt: skip
_OTHER_TABLES = ('classes.csv', '_classes.csv', 'class_dict.csv')


def read_name_tables(root: Path, notes: list[str]) -> list[tuple[Path, list[tuple[int, dict[str, str]]]]]:
    """The tables of a folder that give names to pictures: CSV files of a column of pictures and one of names.

    Args:
        root: The folder.
        notes: Receives the tables that are none, and columns that are called otherwise than ``image`` and
            ``fine_class``.

    Returns:
        Each file with its rows and their line numbers; the columns are called ``image``, ``fine_class``, and as in the
        file.

    Raises:
        DataError: If one of them is no table, or has the columns ``image`` and ``fine_class`` and unknown ones.
    """
    tables = []
    for path in sorted(root.glob('*.csv')):
        rows = read_table(str(path), [])
        columns = {column.lower(): column for column in rows[0][1]} if rows else {}
        image, name = (next((columns[key] for key in keys if key in columns), '') for keys in (_IMAGES, _NAMES))
        if not image or not (name or 'fine_id' in columns):
            if path.name not in _OTHER_TABLES:
                notes.append(f'{path} is not read: a table of names has the columns image and fine_class')
            continue
        if (image, name) == ('image', 'fine_class'):
            read_table(str(path), [image, name], ['region', 'split', 'fine_id'])
        elif name:
            notes.append(f'the columns {image!r} and {name!r} of {path} are pictures and their names')
        renamed = {image: 'image', name: 'fine_class'}
        tables.append(
            (path, [(line, {renamed.get(key, key): cell for key, cell in row.items()}) for line, row in rows])
        )
    return tables


def split_of_row(where: str, row: Mapping[str, str]) -> str:
    """The split that the row of a table gives.

    Raises:
        DataError: If its value is no split.
    """
    value = row.get('split', '')
    if value and not split_of([value])[0]:
        raise DataError(f'{where}: the split {value!r} is not train, val or test; fix the row', 'fine label')
    return split_of([value])[0]
