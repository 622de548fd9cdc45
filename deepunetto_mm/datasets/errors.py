"""The error that a user's data can cause."""

from __future__ import annotations

from typing import Mapping, Optional

_LONGEST = 2000


class DataError(ValueError):
    """A file or a row of a dataset cannot be used; the message names it and says how to mend it.

    A message that quotes a cell of a megabyte is shown without its middle: the file is named at the beginning, and the
    mend at the end.

    Args:
        message: File or row, what is wrong, and the mend.
        kind: What is wrong in a few words, under which reports count.
        labels: Of a mask with values that no class has: number of pixels by value.
    """

    def __init__(self, message: str, kind: str = 'other', labels: Optional[Mapping[int, int]] = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.labels = dict(labels or {})

    def __str__(self) -> str:
        text, half = super().__str__(), _LONGEST // 2
        return text if len(text) <= _LONGEST else f'{text[:half]} [...] {text[-half:]}'
