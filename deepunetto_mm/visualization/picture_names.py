"""File names for what is written about a picture."""

from __future__ import annotations

import re
from pathlib import PurePath


class PictureNames:
    """Gives each picture a name that is safe in a file name, and no other picture has.

    A name is the stem of the picture's path; the second picture of one stem, such as ``b/1.png`` after ``a/1.png``,
    becomes ``1_2``. The same path gets the same name each time, so that one picture can be followed over the epochs.
    """

    def __init__(self) -> None:
        self._name_of: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, path: str) -> str:
        """The name of the picture at ``path``."""
        if path not in self._name_of:
            stem = re.sub(r'[^\w.-]+', '_', PurePath(path).stem).strip('._') or 'picture'
            name, number = stem, 1
            # Case folded: on some file systems A.png and a.png are one file.
            while name.casefold() in self._taken:
                number += 1
                name = f'{stem}_{number}'
            self._taken.add(name.casefold())
            self._name_of[path] = name
        return self._name_of[path]
