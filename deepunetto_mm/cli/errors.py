"""How the commands of ``tools/`` report what went wrong."""

from __future__ import annotations

import re
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

import torch

from deepunetto_mm.utils.errors import message_of

_PACKAGE = Path(__file__).resolve().parents[1]


@contextmanager
def one_line_errors(show_traceback: bool = False) -> Iterator[None]:
    """Report what the user can fix as one line and exit with status 1; other exceptions pass as they are.

    One line is enough for what this package raises about data and configs (:class:`ValueError` and its subclasses), for
    files, for unknown names in a config and for arguments that a class does not take, and about want of memory. A line
    about somebody else's exception is followed by how to see where it came from. Ctrl-C exits with status 130.

    Args:
        show_traceback: Let every exception pass.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if show_traceback:
            raise
        if _is_interruption(error):
            _exit('interrupted; tools/train.py --resume goes on from the last checkpoint', 130)
        if memory := _memory_line(error):
            _exit(f'error: {memory}. tools/train.py --resume goes on from the last checkpoint', 1)
        if not _is_mendable(error):
            raise
        clear = isinstance(error, OSError) or (isinstance(error, ValueError) and _is_ours(error))
        hint = '' if clear else ' (--traceback shows where)'
        _exit(f'error: {message_of(error)}{hint}', 1)


def _exit(line: str, status: int) -> None:
    print(line, file=sys.stderr, flush=True)
    raise SystemExit(status)


def _is_interruption(error: Optional[BaseException]) -> bool:
    # yapf, with which mmengine formats the config into every checkpoint, turns Ctrl-C into an error of its own.
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _memory_line(error: BaseException) -> str:
    """What to do about want of memory, which torch tells in a page or in riddles; '' if it is something else."""
    first = str(error).partition('. ')[0]
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f'{first}: take a smaller batch (train_dataloader.batch_size), smaller crops, or tools/train.py --amp'
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and 'DefaultCPUAllocator' in str(error)):
        return 'out of memory: take a smaller batch (train_dataloader.batch_size), smaller crops, or fewer num_workers'
    if isinstance(error, RuntimeError) and re.match(
        r'DataLoader worker .*(killed by signal|exited unexpectedly)', first
    ):
        return (
            f'{first}: as a rule for want of memory, or of shared memory (/dev/shm; docker run --shm-size); take fewer '
            'train_dataloader.num_workers'
        )
    return ''


def _is_mendable(error: BaseException) -> bool:
    if isinstance(error, (OSError, ModuleNotFoundError, ValueError)):
        return True
    if isinstance(error, KeyError):  # an unknown type, or a config without a type
        return 'registry' in str(error) or '"type"' in str(error)
    if isinstance(error, AttributeError):  # a key that mmengine or a config reads
        return 'ConfigDict' in str(error)
    if isinstance(error, TypeError):  # a misspelt or missing argument in a config
        return '__init__()' in str(error)
    return False


def _is_ours(error: BaseException) -> bool:
    """Whether our code raised it: its class is ours, or the innermost frame is."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__module__.startswith('deepunetto_mm.') or bool(
        frames and Path(frames[-1].filename).is_relative_to(_PACKAGE)
    )
