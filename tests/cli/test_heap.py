import os
import subprocess
import sys
from pathlib import Path

import pytest

import deepunetto_mm

# 64 MiB are allocated, written and freed, twice, a small block above them stays; prints whether they are kept, the page
# faults of the second time, and the resident pages before and after they are given back.
SCRIPT = """
import ctypes, resource, runpy, sys
heap = runpy.run_path(sys.argv[1])
kept = heap['keep_freed_memory']()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(2**26)))
    ctypes.memset(block, 1, 2**26)
    above = ctypes.c_void_p(library.malloc(ctypes.c_size_t(2**17)))
    library.free(block)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
resident = lambda: int(open('/proc/self/statm').read().split()[1])
held = resident()
heap['give_back_freed_memory']()
print(kept, faults, held, resident())
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc')
@pytest.mark.parametrize('own', [{}, {'MALLOC_CHECK_': '0'}, {'GLIBC_TUNABLES': 'glibc.malloc.check=0'}])
def test_a_block_that_was_freed_is_used_again_unless_the_user_sets_the_allocator(own):
    env = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))}
    # In an interpreter of its own, without torch, since it cannot be taken back.
    command = [sys.executable, '-S', '-c', SCRIPT, str(Path(deepunetto_mm.__file__).parent / 'cli/heap.py')]
    printed = subprocess.run(command, env={**env, **own}, check=True, capture_output=True, text=True).stdout
    kept, faults, held, left = printed.split()
    assert kept == str(not own)
    assert (int(faults) < 100) == (not own), faults  # all of its pages are 16384 of 4 KiB
    assert (int(held) - int(left) > 16000) == (not own)  # and these pages are given back
