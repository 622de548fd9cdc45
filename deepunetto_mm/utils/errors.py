"""The errors that a user can fix, and their messages."""

import difflib
from typing import Iterable, Mapping, Optional

_LONGEST = 2000


class UsageError(ValueError):
    """The command line, the config or the machine lacks something that the command needs; the message names it."""


class DataError(ValueError):
    """A file or a row of a dataset cannot be used; the message names it and says how to fix it.

    A very long message, for example one that quotes a cell of a megabyte, is shown without its middle: the file is
    named at the beginning, and the fix at the end.

    Args:
        message: File or row, what is wrong, and the fix.
        kind: The fault in a few words; reports count by it.
        labels: For a mask with values that no class has: number of pixels by value.
    """

    def __init__(self, message: str, kind: str = 'other', labels: Optional[Mapping[int, int]] = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.labels = dict(labels or {})

    def __str__(self) -> str:
        text, half = super().__str__(), _LONGEST // 2
        return text if len(text) <= _LONGEST else f'{text[:half]} [...] {text[-half:]}'


def message_of(error: BaseException) -> str:
    """The original message, without additions from other processes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    # A loader's worker sends its traceback as the message; the original begins at the last line with the exception.
    worker, _, rest = text.partition('\nOriginal Traceback')
    if rest and worker.startswith('Caught '):
        name = type(error).__name__
        text = rest.rpartition(f'{name}: ')[2].strip()
    return ' '.join(text.split()) or type(error).__name__


def suggest(name: str, known: Iterable[str]) -> str:
    """What a misspelt name may have meant, to be put behind a message; '' if nothing is like it."""
    ranked = sorted(known)
    # Letters of another case, and zeros that a spreadsheet took away, are common slips, and far apart to difflib.
    alike = [other for other in ranked if other.lower().lstrip('0') == name.lower().lstrip('0')]
    close = alike[:1] or difflib.get_close_matches(name, ranked, n=1)
    return f' (there is {close[0]!r})' if close else ''
