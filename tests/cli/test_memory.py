from pathlib import Path

import numpy as np
import pytest

from deepunetto_mm.cli.memory import forget_peak, memory_of_process
from deepunetto_mm.utils.errors import UsageError


def test_the_peak_is_of_what_came_after_it_was_forgotten():
    block = np.ones(2**25)  # 256 MiB
    peak = memory_of_process('VmHWM')
    del block
    before = forget_peak()
    assert 10**7 < before <= memory_of_process('VmHWM') < peak - 2**27


def test_memory_is_read_on_linux_alone(monkeypatch):
    monkeypatch.setattr(Path, 'exists', lambda _: False)
    with pytest.raises(UsageError, match='only be measured on Linux'):
        memory_of_process('VmRSS')
