"""Memory of this process, as Linux reports it."""

import gc
from pathlib import Path

from deepunetto_mm.utils.errors import UsageError


def memory_of_process(field: str) -> int:
    """Memory of this process in bytes: ``VmRSS``, now, or ``VmHWM``, the maximum since :func:`forget_peak`.

    Raises:
        UsageError: If the system does not report it.
    """
    path = Path('/proc/self/status')
    if not path.exists():
        raise UsageError(f'{path} does not exist: memory can only be measured on Linux')
    (line,) = [line for line in path.read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def forget_peak() -> int:
    """Reset ``VmHWM``; returns the present memory in bytes."""
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')
    return memory_of_process('VmRSS')
