"""Damaged files, and a process of its own in which a property is tried on them: a crash or a hang is a finding, too.

Every input is made from a whole one and a list of damages, by hypothesis, and is the same in every run.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import resource
import signal
import struct
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from deepunetto_mm.datasets import DataError
from deepunetto_mm.structures import TaxonomyError

INPUTS = int(os.environ.get('DEEPUNETTO_FUZZ', '100'))  # of each kind
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
# What JSON can hold, and what is easily taken for something else.
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, -1, 7, 255, 2**31, 2**53 + 1, 2**63, 10**30, 0.5, -0.0, 1e308, float('nan'), float('inf')]
    + ['', ' ', 'background', 'dog', 'cell', '1', '../a', '\x00', '\ud800', 'é' * 3000, [], [[]], {}, {'': 0}, [1] * 7]
)
TREE_DAMAGES = st.one_of(
    st.tuples(st.just('replace'), _place, VALUES),
    st.tuples(st.sampled_from(['remove', 'double', 'rename']), _place),
    st.tuples(st.just('exchange'), _place, _place),
    st.tuples(st.just('nest'), _place, st.sampled_from([1, 2, 100])),
)


def damaged_tree(tree: Any, damages: list[tuple]) -> Any:
    """A copy of lists and dicts after all damages, each of which finds its place in what the one before has left."""
    holder = [copy.deepcopy(tree)]
    for kind, *how in damages:
        slots = _slots(holder)
        if not slots:
            break
        parent, key = slots[int(how[0] * (len(slots) - 1))]
        value = parent[key]
        if kind == 'replace':
            parent[key] = copy.deepcopy(how[1])
        elif kind == 'remove' and len(slots) > 1:
            del parent[key]
        elif kind == 'double' and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(value))
        elif kind == 'rename' and isinstance(parent, dict):
            parent[f'{key}x'] = parent.pop(key)
        elif kind == 'exchange':
            other, place = slots[int(how[1] * (len(slots) - 1))]
            parent[key] = copy.deepcopy(other[place])
        elif kind == 'nest':
            for _ in range(how[1]):
                value = [value]
            parent[key] = value
    return holder[0] if holder else None


def _slots(node: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree, as its container and key; without recursion, for trees that are deep."""
    slots, todo = [], [node]
    while todo:
        parent = todo.pop()
        for key in list(parent) if isinstance(parent, dict) else range(len(parent)):
            slots.append((parent, key))
            if isinstance(parent[key], (dict, list)):
                todo.append(parent[key])
    return slots


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
    return _png(chunks)


def grey_png(width: int, height: int, bits: int = 8, pixels: bytes = b'') -> bytes:
    """A PNG of that size, whose compressed pixels are whatever is given."""
    header = struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0)
    return _png([(b'IHDR', header), (b'IDAT', pixels), (b'IEND', b'')])


def _png(chunks: Sequence[Sequence[bytes]]) -> bytes:
    return PNG_HEAD + b''.join(
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks
    )


def fuzz(what: str, strategy: st.SearchStrategy, check: Callable[[Any], str], folder: Path) -> None:
    """Try a property on many inputs, and print what became of them; fails with the input at a crash, hang or exception.

    Args:
        what: Name of the inputs.
        strategy: Makes them; they can be pickled.
        check: Takes an input and returns what became of it; or raises an error of ours, or another, which is a finding.
        folder: For the input that is being tried, which is all that a crash leaves.
    """
    begin, place = time.monotonic(), folder / 'input.pkl'
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_try_all, args=(strategy, check, place, sender), daemon=True)
    child.start()
    sender.close()
    try:
        report = receiver.recv()
    except EOFError:  # the process is no more
        child.join()
        why = f'more than {SECONDS} s' if child.exitcode == -signal.SIGALRM else f'the process ended: {child.exitcode}'
        pytest.fail(f'{why} for {pickle.loads(place.read_bytes())!r}', pytrace=False)
    child.join()
    if not isinstance(report, Counter):
        pytest.fail(report, pytrace=False)
    print(f'\n{what}: {sum(report.values())} inputs, {time.monotonic() - begin:.1f} s')
    for outcome, count in report.most_common():
        print(f'  {count:6} {outcome}')


def _try_all(strategy: st.SearchStrategy, check: Callable[[Any], str], place: Path, sender: Any) -> None:
    outcomes: Counter = Counter()

    @hypothesis.settings(
        max_examples=INPUTS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def test(value: Any) -> None:
        place.write_bytes(pickle.dumps(value))
        signal.alarm(SECONDS)  # ends the process, in the middle of a decoder too
        try:
            outcome = check(value)
        except (DataError, TaxonomyError) as error:
            outcome = f'refused: {type(error).__name__}'
        signal.alarm(0)
        outcomes[outcome] += 1

    # What the decoders say of damaged files on the standard error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    try:
        test()
        sender.send(outcomes)
    except BaseException:
        sender.send(f'{traceback.format_exc()[-4000:]}\nthe last input: {place}')
    os._exit(0)
