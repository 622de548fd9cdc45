"""Memory that PyTorch has freed, kept for its next tensors."""

import ctypes
import os
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next tensors; returns whether it does.

    On a CPU each step of a training allocates and frees tensors of many megabytes. By default such blocks are given
    back to the system, which has to clear their pages again for the next step (docs/performance.md). Now the process
    keeps as much memory as it needed most; so this is for programs, not for the import of a library. Predictions
    leave it: on pictures of many sizes they took up to a fifth more memory.

    Nothing is changed without glibc, or where the environment sets its allocator: ``MALLOC_*`` or ``GLIBC_TUNABLES``.
    """
    chosen = any(name.startswith('MALLOC_') for name in os.environ) or 'GLIBC_TUNABLES' in os.environ
    if chosen or sys.platform != 'linux':
        return False
    library: Any = ctypes.CDLL(None)
    if not hasattr(library, 'mallopt'):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, 2**31 - 1) and library.mallopt(_MMAP_MAX, 0))


def give_back_freed_memory() -> None:
    """Give what :func:`keep_freed_memory` keeps back to the system, before a process waits for another one."""
    library: Any = ctypes.CDLL(None)
    if hasattr(library, 'malloc_trim'):
        library.malloc_trim(0)
