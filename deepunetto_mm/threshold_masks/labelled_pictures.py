"""Pictures with a fine class but no mask: a folder for each class, or a folder and a table."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional, Sequence

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.files import read_table
from deepunetto_mm.utils.picture_files import SUFFIXES, split_named


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and its fine class.

    Attributes:
        name: Path in the folder of pictures, without suffix, with ``/`` on every system.
        path: The file.
        fine_class: Its fine class; empty if it is not annotated.
        split: Its split; empty if there are none.
    """

    name: str
    path: Path
    fine_class: str = ''
    split: str = ''


def list_pictures(root: str, suffix: Optional[str] = None) -> dict[str, Path]:
    """All pictures in a folder and its subfolders, without hidden ones.

    Args:
        root: The folder.
        suffix: Suffix of the files; None for the common suffix of all pictures.

    Returns:
        Name -> file, in the order of the names.

    Raises:
        DataError: If there is no such folder, no picture in it, or several suffixes.
    """
    if not os.path.isdir(root):
        raise DataError(f'{root}: no such folder')
    files = [path for path in sorted(Path(root).rglob('*')) if path.is_file()]
    files = [path for path in files if not any(part[0] == '.' for part in path.relative_to(root).parts)]
    if suffix is None:
        endings = Counter(path.suffix for path in files if path.suffix.lower() in SUFFIXES)
        if len(endings) > 1:
            # A dataset has one suffix for all its pictures.
            raise DataError(
                f'{root}: the pictures end in {dict(sorted(endings.items()))}; select one of these suffixes, or '
                'save all pictures in one format'
            )
        suffix = next(iter(endings), '.jpg')
    found = [path for path in files if path.name.endswith(suffix)]
    if not found:
        raise DataError(f'{root}: none of its {len(files)} files is a picture that ends in {suffix!r}')
    return {path.relative_to(root).as_posix()[: -len(suffix)]: path for path in found}


def pictures_of_folders(root: str, suffix: Optional[str] = None, split: str = '') -> list[LabelledPicture]:
    """Pictures in ``root/FINE CLASS/*.jpg``: folders are fine classes, deeper folders are part of a picture's name.

    Args:
        root: The folder of folders.
        suffix: As in :func:`list_pictures`.
        split: Split of all of them.

    Raises:
        DataError: If there is no picture, or one that is in no folder, or if all folders are called after splits.
    """
    pictures = list_pictures(root, suffix)
    for name, path in pictures.items():
        if '/' not in name:
            raise DataError(
                f'{path}: this picture is in no folder of a class; move it to {root}/CLASS, or give a table of '
                'the pictures and their classes'
            )
    folders = sorted({name.partition('/')[0] for name in pictures})
    if all(map(split_named, folders)):
        raise DataError(
            f'{root}: its folders {folders} are called after splits, and not after classes; give one of them, such as '
            f'{root}/{folders[0]}, with --split {split_named(folders[0])}'
        )
    return [LabelledPicture(name, path, name.partition('/')[0], split) for name, path in pictures.items()]


def pictures_of_table(
    root: str,
    table: str,
    suffix: Optional[str] = None,
    split: Optional[str] = None,
    fine_class_of_id: Optional[dict[str, str]] = None,
) -> list[LabelledPicture]:
    """Pictures that a table lists, with their fine classes.

    Args:
        root: Folder of the pictures.
        table: CSV in UTF-8. Columns: ``image``, a path in ``root`` with or without suffix; ``fine_class``, or
            ``fine_id`` if ``fine_class_of_id`` is given; optionally ``split``. Others are ignored.
        suffix: As in :func:`list_pictures`.
        split: Use only the rows of this split; if there is no column ``split``, the split of all rows.
        fine_class_of_id: Fine class by the text of its id.

    Raises:
        DataError: If the table cannot be read, or a row contradicts the folder or another row; names file and line.
    """
    pictures, chosen = list_pictures(root, suffix), []
    by_file = {path.relative_to(root).as_posix(): name for name, path in pictures.items()}
    first_line: dict[str, int] = {}
    for line, row in read_table(table, ['image']):
        where = f'{table}, line {line}'
        if split and row.get('split', split) != split:
            continue
        name = by_file.get(row['image'], row['image'])
        if name not in pictures:
            raise DataError(f'{where}: no picture {row["image"]!r} in {root}{suggest(name, pictures)}; fix the row')
        if name in first_line:
            raise DataError(f'{where}: picture {name!r} has a row on line {first_line[name]} already; keep one of them')
        first_line[name] = line
        fine_class = row.get('fine_class', '')
        if 'fine_class' not in row:
            if fine_class_of_id is None or 'fine_id' not in row:
                raise DataError(
                    f"{table}: no column 'fine_class' in {list(row)}; add it, or give 'fine_id' and a table of "
                    'classes with ids'
                )
            if row['fine_id'] not in fine_class_of_id:
                raise DataError(f'{where}: no fine class has the id {row["fine_id"]!r}; fix the row')
            fine_class = fine_class_of_id[row['fine_id']]
        chosen.append(LabelledPicture(name, pictures[name], fine_class, row.get('split', split or '')))
    if not chosen:
        raise DataError(f'{table}: no row under the header' + (f' of split={split!r}' if split else ''))
    return chosen


def read_classes(path: str, background: str = 'background') -> tuple[Taxonomy, dict[str, str]]:
    """Read a table of fine classes and their generic classes.

    Args:
        path: CSV in UTF-8 with the columns ``fine`` and ``coarse``, and optionally ``fine_id`` and ``coarse_id``, which
            give the order of the labels; without them, the rows do.
        background: Name of the segmentation class of the background.

    Returns:
        The taxonomy, in which every generic class is a group with one member of the same name; and fine class by the
        text of its id, empty without ids.

    Raises:
        DataError: If the table cannot be read, an id is not a number, or two fine classes have the same id.
        TaxonomyError: If a fine class is listed twice, or has the name of the background.
    """
    rows = read_table(path, ['fine', 'coarse'])
    if not rows:
        raise DataError(f'{path}: no row under the header')
    for line, row in rows:
        for column in ('fine_id', 'coarse_id'):
            cell = row.get(column, '0')
            if not (cell.isascii() and cell.isdigit() and len(cell) < 10):
                raise DataError(f'{path}, line {line}: {column} must be an integer below 10^9, got {cell!r}')
    twice = [id_ for id_, count in Counter(row['fine_id'] for _, row in rows if 'fine_id' in row).items() if count > 1]
    if twice:
        raise DataError(f'{path}: several fine classes have the fine_id {twice[0]}; each needs a different one')
    coarse = dict.fromkeys(row['coarse'] for _, row in sorted(rows, key=lambda row: int(row[1].get('coarse_id', 0))))
    in_order = sorted(rows, key=lambda row: int(row[1].get('fine_id', 0)))
    members = {name: [row['fine'] for _, row in in_order if row['coarse'] == name] for name in coarse}
    return make_taxonomy(members, background), {row['fine_id']: row['fine'] for _, row in rows if 'fine_id' in row}


def make_taxonomy(fine_classes: Mapping[str, Sequence[str]], background: str = 'background') -> Taxonomy:
    """A taxonomy of the background and then the generic classes, each as a group; from generic -> fine classes."""
    groups = [dict(name=name, members=[name], fine_classes=list(fine)) for name, fine in fine_classes.items()]
    return Taxonomy.from_dict(dict(classes=[background, *fine_classes], groups=groups))
