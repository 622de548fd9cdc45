"""Error reports of the commands in ``tools/``."""

import logging
import re
import sys
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Optional

import torch
from mmengine.logging import MMLogger

from deepunetto_mm.utils.errors import message_of

_PACKAGE = Path(__file__).resolve().parents[1]

# What torch calls "Expected more than 1 value per channel when training".
_SINGLE_VALUE = (
    'BatchNorm had a single value per channel: a batch of one picture, or one region, whose map is 1x1 (PSPHead and '
    'ASPPHead have such maps). Set train_dataloader.batch_size above 1 and drop_last=True, since the last batch of an '
    "epoch may have one; or norm_cfg=dict(type='GN', num_groups=8) in that part"
)


@contextmanager
def one_line_errors(show_traceback: bool = False, training: bool = False) -> Iterator[None]:
    """Report errors that the user can fix as one line and exit with status 1; other exceptions pass unchanged.

    One line is enough for this package's errors about data and configs (:class:`ValueError` and its subclasses), for
    files, for unknown names in a config, for unknown arguments of a class, and if memory runs out. For an exception
    from other code, the line ends with where to find the traceback. Ctrl-C exits with status 130.

    If the run has a log file, the traceback is always written to it.

    Args:
        show_traceback: Let every exception pass.
        training: Whether the command trains, and its advice is about training options and ``--resume``.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        log = _log(error)
        resume = 'tools/train.py --resume continues from the last checkpoint' if training else ''
        if show_traceback:
            raise
        if _is_interruption(error):
            _exit('; '.join(filter(None, ['interrupted', resume])), 130)
        if memory := _memory_line(error, training):
            _exit('. '.join(filter(None, [f'error: {memory}', resume])), 1)
        if 'more than 1 value per channel' in str(error):
            _exit(f'error: {_SINGLE_VALUE} ({log or "--traceback shows where"})', 1)
        if not _is_fixable(error):
            raise
        clear = isinstance(error, OSError) or (isinstance(error, ValueError) and _is_ours(error))
        hint = '' if clear else f' (where: {log})' if log else ' (--traceback shows where)'
        _exit(f'error: {message_of(error)}{hint}', 1)


def _exit(line: str, status: int) -> None:
    print(line, file=sys.stderr, flush=True)
    raise SystemExit(status)


def _log(error: BaseException) -> str:
    """Write the traceback to the log files of the run; returns the name of the last one, empty if there is none."""
    path = ''
    for logger in list(MMLogger._instance_dict.values()):
        for handler in getattr(logger, 'handlers', ()):
            if isinstance(handler, logging.FileHandler):
                info = (type(error), error, error.__traceback__)
                record = logging.LogRecord(logger.name, logging.ERROR, __file__, 0, 'the run ended here', None, info)
                with suppress(Exception):  # the disk may be full, which may be the error
                    handler.handle(record)
                path = handler.baseFilename
    return path


def _is_interruption(error: Optional[BaseException]) -> bool:
    # yapf, with which mmengine formats the config into every checkpoint, turns Ctrl-C into another error.
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _memory_line(error: BaseException, training: bool) -> str:
    """Advice if memory ran out, in place of torch's message; '' for other errors."""
    smaller = (
        'use a smaller batch (train_dataloader.batch_size), smaller crops'
        if training
        else "use smaller batches (batch_size), smaller pictures, predict in tiles (model.test_cfg.mode='tile')"
    )
    first = str(error).partition('. ')[0]
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f'{first}: {smaller}, or ' + ('tools/train.py --amp' if training else 'on the CPU')
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and 'DefaultCPUAllocator' in str(error)):
        return f'out of memory: {smaller}, or fewer num_workers'
    if isinstance(error, RuntimeError) and re.match(
        r'DataLoader worker .*(killed by signal|exited unexpectedly)', first
    ):
        return (
            f'{first}: usually out of memory, or out of shared memory (/dev/shm; docker run --shm-size); use fewer '
            + 'train_dataloader.num_workers' * training
            + 'num_workers of the data loader' * (not training)
        )
    return ''


def _is_fixable(error: BaseException) -> bool:
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
