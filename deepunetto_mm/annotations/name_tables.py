"""Tables that give names to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator, Mapping, Sequence

from deepunetto_mm.datasets.file_names import composed
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_table

from .scenes import Annotations, Scene, split_of

# Columns of tables, in lower case; the first that a table has counts.
_IMAGES = ('image', 'filename', 'file_name', 'file', 'image_name', 'image_id', 'imageid', 'img', 'path', 'id')
_NAMES = (
    'fine_class', 'label', 'class', 'class_name', 'category', 'name', 'species', 'breed', 'type', 'diagnosis', 'dx'
)  # fmt: skip
_OTHERS = ('region', 'split', 'fine_id')
OTHER_TABLES = ('classes.csv', '_classes.csv', 'class_dict.csv')


def is_table(path: Path) -> bool:
    """Whether a file is CSV by its suffix, in any case."""
    return path.suffix.lower() == '.csv'


def read_name_tables(
    root: Path, pictures: Iterable[Path], notes: list[str]
) -> list[tuple[Path, list[tuple[int, dict[str, str]]]]]:
    """The tables of a folder that give names to pictures: CSV files of a column of pictures and one of names.

    Args:
        root: The folder.
        pictures: In it. A column ``id`` may also be that of a list of classes: it counts if it names one of them.
        notes: Receives the tables that are none, and columns that are called otherwise than ``image`` and
            ``fine_class``.

    Returns:
        Each file with its rows and their line numbers; the columns are called ``image``, ``fine_class``, ``region``,
        ``split``, ``fine_id``, and as in the file.

    Raises:
        DataError: If one of them is no table, or has the columns ``image`` and ``fine_class`` and unknown ones.
    """
    tables = []
    for path in sorted(path for path in root.glob('*') if is_table(path) and not path.name.startswith('.')):
        rows = read_table(str(path), [])
        columns = {column.lower(): column for column in rows[0][1]} if rows else {}
        image, name = (next((key for key in keys if key in columns), '') for keys in (_IMAGES, _NAMES))
        if not image or not (name or 'fine_id' in columns):
            if path.name not in OTHER_TABLES:
                notes.append(f'{path} is not read: a table of names has the columns image and fine_class')
            continue
        if image == 'id':
            known = {own for picture in pictures for own in _names_of(root, picture)}
            if not any(composed(row[columns[image]]) in known for _, row in rows):
                notes.append(f'{path} is not read: its column {columns[image]!r} names no picture')
                continue
        if (image, name) == ('image', 'fine_class'):
            read_table(str(path), [columns[image], columns[name]], [columns.get(key, key) for key in _OTHERS])
        elif name:
            notes.append(f'the columns {columns[image]!r} and {columns[name]!r} of {path} are pictures and their names')
        renamed = {columns[key]: key for key in _OTHERS if key in columns}
        renamed[columns[image]] = 'image'
        if name:
            renamed[columns[name]] = 'fine_class'
        tables.append(
            (path, [(line, {renamed.get(key, key): cell for key, cell in row.items()}) for line, row in rows])
        )
    return tables


def named_scenes(
    root: Path, scenes: Sequence[Scene], found: Annotations
) -> Iterator[tuple[str, Scene, str, dict[str, str]]]:
    """The rows of all tables of a folder, with the scenes whose pictures they name.

    A row names a picture by its path, by the end of that, or by its name in the written dataset, with or without
    suffix and split. Of several, those in the row's split count, or in that of the table's name, and then the one of
    this very path.

    Args:
        root: The folder.
        scenes: Of all pictures in it.
        found: Receives notes, and the problems of rows, which are left out.

    Yields:
        File and line for errors, the scene, the split by the row or, of several tables, by the table, and the row.
    """
    by_name: dict[str, list[Scene]] = {}
    for scene in scenes:
        written = [composed(name) for name in (scene.name, scene.place)]
        written += [name + scene.picture.suffix for name in written]
        for name in dict.fromkeys([*_names_of(root, scene.picture), *written]):
            by_name.setdefault(name, []).append(scene)
    tables = read_name_tables(root, [scene.picture for scene in scenes], found.notes)
    lines: dict[tuple[int, str], str] = {}
    for table, rows in tables:
        by_table = split_of([table.stem])[0]
        for line, row in rows:
            where, region = f'{table}, line {line}', row.get('region', '')
            try:
                split = split_of_row(where, row)
                own = composed(row['image'])
                if own not in by_name:
                    raise DataError(
                        f'{where}: no picture {own!r}{found.suggest(own, by_name)}; fix the row', 'fine label'
                    )
                scene = _named_scene(root, where, own, split or by_table, by_name[own])
                key = id(scene), region
                if key in lines:
                    what = f'region {region} of ' * bool(region) + f'picture {row["image"]!r}'
                    message = f'{where}: {what} has a row on {lines[key]} already; keep one of them'
                    raise DataError(message, 'fine label')
            except DataError as error:
                found.problems.append(error)
                continue
            lines[key] = f'line {line} of {table.name}'
            yield where, scene, split or by_table * (len(tables) > 1), row


def _names_of(root: Path, picture: Path) -> list[str]:
    """A picture's path and all ends of it, with and without suffix."""
    parts = composed(picture.relative_to(root)).split('/')
    names = ['/'.join(parts[start:]) for start in range(len(parts))]
    return [*(name.removesuffix(picture.suffix) for name in names), *names]


def _named_scene(root: Path, where: str, name: str, split: str, scenes: Sequence[Scene]) -> Scene:
    scenes = [scene for scene in scenes if split and scene.split == split] or scenes
    paths = {composed(scene.picture.relative_to(root)): scene for scene in scenes}
    exact = [scene for path, scene in paths.items() if name in (path, path.removesuffix(scene.picture.suffix))]
    if len(scenes) > 1 and len(exact) != 1:
        shown = ' and '.join(list(paths)[:2])
        raise DataError(
            f'{where}: {name!r} is the name of {len(scenes)} pictures; add a column split, or write the whole path '
            f'({shown})',
            'fine label',
        )
    return (exact or scenes)[0]


def split_of_row(where: str, row: Mapping[str, str]) -> str:
    """The split that the row of a table gives.

    Raises:
        DataError: If its value is no split.
    """
    value = row.get('split', '')
    if value and not split_of([value])[0]:
        raise DataError(f'{where}: the split {value!r} is not train, val or test; fix the row', 'fine label')
    return split_of([value])[0]
