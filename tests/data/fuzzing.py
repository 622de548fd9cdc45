"""Damaged files, and a process of its own in which a property is tried on them: a crash or a hang is a finding, too.

Every input is made from a whole file and a list of damages, by hypothesis, and is the same in every run.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import struct
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Hashable

import hypothesis
import pytest
from hypothesis import strategies as st

INPUTS = int(os.environ.get('DEEPUNETTO_FUZZ', '40'))  # of each kind
SECONDS, BYTES = 20, 2**29  # that one input may take, beyond the memory of the process
PNG_HEAD = b'\x89PNG\r\n\x1a\n'

_place = st.floats(0, 1)
_few_bytes = st.binary(min_size=1, max_size=8)
_size = st.sampled_from([0, 1, 7, 9, 100, 1000, 2047, 2048, 2049, 16_384, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1])
DAMAGES = st.one_of(
    st.tuples(st.just('flip'), _place, st.integers(0, 7)),
    st.tuples(st.just('write'), _place, _few_bytes),
    st.tuples(st.just('insert'), _place, _few_bytes),
    st.tuples(st.just('truncate'), _place),
    st.tuples(st.just('remove'), _place, _place),
    st.tuples(st.just('zero'), _place, _place),
    st.tuples(st.just('repeat'), _place, _place),
)
# With the right checksums, as a writer with a fault, or with intent, would write them.
PNG_DAMAGES = st.one_of(
    st.tuples(st.just('side'), st.integers(0, 1), _size),
    st.tuples(st.just('kind'), st.integers(8, 12), st.one_of(st.integers(0, 8), st.sampled_from([16, 255]))),
    st.tuples(st.just('content'), _place, _place, _few_bytes),
    st.tuples(st.sampled_from(['drop', 'double', 'swap']), _place),
)


def damaged(content: bytes, damages: list[tuple]) -> bytes:
    """The bytes after all damages, each of which finds its place in what the one before has left."""
    for kind, *how in damages:
        if kind in ('side', 'kind', 'content', 'drop', 'double', 'swap'):
            content = _damaged_png(content, kind, how)
            continue
        begin = min(int(how[0] * len(content)), max(len(content) - 1, 0))
        end = begin + int(how[1] * 0.3 * len(content)) + 1 if kind in ('remove', 'zero', 'repeat') else begin
        if kind == 'flip' and content:
            content = content[:begin] + bytes([content[begin] ^ 1 << how[1]]) + content[begin + 1 :]
        elif kind == 'write':
            content = content[:begin] + how[1] + content[begin + len(how[1]) :]
        elif kind == 'insert':
            content = content[:begin] + how[1] + content[begin:]
        elif kind == 'truncate':
            content = content[:begin]
        elif kind == 'remove':
            content = content[:begin] + content[end:]
        elif kind == 'zero':
            content = content[:begin] + bytes(len(content[begin:end])) + content[end:]
        elif kind == 'repeat':
            content = content[:end] + content[begin:end] + content[end:]
    return content


def _damaged_png(content: bytes, kind: str, how: list) -> bytes:
    chunks, position = [], len(PNG_HEAD)
    while content.startswith(PNG_HEAD) and position + 12 <= len(content):
        (length,) = struct.unpack_from('>I', content, position)
        chunks.append([content[position + 4 : position + 8], content[position + 8 : position + 8 + length]])
        position += 12 + length
    if not chunks:
        return content
    header = chunks[0]
    number = int(how[0] * (len(chunks) - 1)) if kind in ('content', 'drop', 'double', 'swap') else 0
    if kind == 'side':
        header[1] = header[1][: 4 * how[0]] + struct.pack('>I', how[1]) + header[1][4 * how[0] + 4 :]
    elif kind == 'kind':
        header[1] = header[1][: how[0]] + bytes([how[1]]) + header[1][how[0] + 1 :]
    elif kind == 'content':
        payload = chunks[number][1]
        begin = int(how[1] * len(payload))
        chunks[number][1] = payload[:begin] + how[2] + payload[begin + len(how[2]) :]
    elif kind == 'drop':
        del chunks[number]
    elif kind == 'double':
        chunks.insert(number, chunks[number])
    elif kind == 'swap':
        chunks.append(chunks.pop(number))
    return PNG_HEAD + b''.join(
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks
    )


def fuzz(strategy: st.SearchStrategy, check: Callable[[Any], Hashable], folder: Path) -> Counter:
    """How often a property had which outcome; fails with the input at an exception, a crash, or a hang.

    Args:
        strategy: Makes the inputs, which can be pickled.
        check: Takes an input and returns what became of it.
        folder: For the input that is tried, which is all that a crash leaves.
    """
    context = multiprocessing.get_context('fork')
    beat = context.Value('d', time.monotonic(), lock=False)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_try_all, args=(strategy, check, folder / 'input.pkl', beat, sender), daemon=True)
    child.start()
    sender.close()
    report = None
    while report is None and child.is_alive():
        if receiver.poll(0.1):
            report = _received(receiver)
        elif time.monotonic() - beat.value > SECONDS:
            child.kill()
            child.join()
            pytest.fail(f'more than {SECONDS} s for {_last(folder)}')
    report = report or (_received(receiver) if receiver.poll(1) else None)
    child.join()
    if not isinstance(report, Counter):
        pytest.fail(report or f'the process ended with {child.exitcode} at {_last(folder)}')
    return report


def _received(receiver: Any) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        return None


def _last(folder: Path) -> str:
    return repr(pickle.loads((folder / 'input.pkl').read_bytes()))


def _try_all(strategy: st.SearchStrategy, check: Callable, place: Path, beat: Any, sender: Any) -> None:
    outcomes: Counter = Counter()

    @hypothesis.settings(
        max_examples=INPUTS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def test(value: Any) -> None:
        beat.value = time.monotonic()
        place.write_bytes(pickle.dumps(value))
        outcomes[check(value)] += 1

    # What the decoders say of damaged files on the standard error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    try:
        test()
        sender.send(outcomes)
    except BaseException:
        sender.send(traceback.format_exc()[-20_000:])
    os._exit(0)
