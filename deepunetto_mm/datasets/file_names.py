"""Names of files: the same name in other forms, and files that a dataset leaves out."""

import os
import unicodedata
from collections import Counter
from functools import cached_property
from typing import Optional, Sequence, Union

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import PICTURE_SUFFIXES


class FileNames(frozenset[str]):
    """Names of files, which are found in whatever form a list or a table has them.

    A letter with a mark is one character or two in Unicode: macOS writes names decomposed, most else composed. Tables
    and annotations that were made on Windows have backslashes.
    """

    @cached_property
    def _by_form(self) -> dict[str, str]:
        return {composed(name): name for name in self}

    def find(self, name: str) -> Optional[str]:
        """The same name as it is here, perhaps in another form of Unicode or with other slashes; None without one."""
        return name if name in self else self._by_form.get(composed(name))


def composed(name: Union[str, os.PathLike]) -> str:
    """A name in the usual form: a letter and its mark are one character (NFC), and folders are separated by ``/``."""
    return unicodedata.normalize('NFC', os.fspath(name).replace('\\', '/'))


def is_hidden(name: Union[str, os.PathLike]) -> bool:
    """Whether a relative path has a part that begins with a dot, as copies in ``.ipynb_checkpoints`` have."""
    return any(part.startswith('.') for part in composed(name).split('/'))


def left_out(folder: str, suffix: str, others: Sequence[str] = ()) -> tuple[list[DataError], list[DataError]]:
    """What a dataset of all files of one suffix leaves out of a folder and its subfolders.

    Args:
        folder: A local folder.
        suffix: How the names of its pictures end.
        others: How names of files end that are in the folder for another purpose, such as masks.

    Returns:
        An error for each broken link; and an error for each reason for which files are left out.
    """
    links: list[str] = []
    hidden: list[str] = []
    suffixes: Counter = Counter()
    used = 0
    examples: dict[str, str] = {}
    for place, _, files in os.walk(folder, followlinks=True):
        for file in sorted(files):
            path, ending = os.path.join(place, file), os.path.splitext(file)[1]
            if file.endswith(tuple(others)) or (not file.endswith(suffix) and ending.lower() not in PICTURE_SUFFIXES):
                continue
            if is_hidden(os.path.relpath(path, folder)):
                # ._a.png has what macOS cannot keep elsewhere of a.png.
                hidden += [path] * (not file.startswith('._'))
            elif not os.path.exists(path):
                links.append(path)
            elif file.endswith(suffix):
                used += 1
            else:
                suffixes[ending] += 1
                examples.setdefault(ending, path)
    errors = [
        DataError(
            f'{path}: a link to {os.readlink(path)}, which is not there ({len(links)} of {len(links) + used} '
            f'pictures of {folder}); mount or copy the file, or remove the link',
            'missing file',
        )
        for path in links
        if path.endswith(suffix)
    ]
    notes = []
    if suffixes:
        found = ', '.join(f'{ending} ({number}, such as {examples[ending]})' for ending, number in suffixes.items())
        notes.append(
            DataError(
                f'{folder}: {sum(suffixes.values())} of {sum(suffixes.values()) + used} pictures are left out, whose '
                f'names do not end in {suffix!r}: {found}; rename or convert them',
                'picture left out',
            )
        )
    if hidden:
        notes.append(
            DataError(
                f'{folder}: {len(hidden)} hidden pictures are left out, such as {hidden[0]}; rename them',
                'picture left out',
            )
        )
    return errors, notes
