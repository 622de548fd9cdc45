"""Fixtures shared by the tests, in tests/ and beside the projects."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import socket
import sys
import traceback
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from importlib import import_module
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from types import SimpleNamespace
from typing import Callable, Iterator, NoReturn

import numpy as np
import pytest
import torch
from mmengine.dataset import base_dataset
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import runner
from mmengine.utils import ManagerMixin
from torch.utils.data import _utils
from yapf.yapflib import yapf_api

REPOSITORY = Path(__file__).resolve().parent


def pytest_configure() -> None:
    """One thread, and no long wait for loader workers."""
    # Tiny tensors: threads cost more than they bring, and sums that depend on their number are no ground to compare on.
    torch.set_num_threads(1)
    # torch.export makes torch believe in a second device: a first backward pass after it starts threads, and copies of
    # the process (``launch``) could compute no gradient.
    torch.zeros(1, requires_grad=True).sum().backward()
    # Workers of a run that ended with an error are collected in a cycle with it, in which their queues may go first:
    # they never hear that they may end, and torch waits this many seconds for each before it ends them.
    _utils.MP_STATUS_CHECK_INTERVAL = 0.2
    # mmengine lays a config out for each log and each checkpoint, which takes longer than the tests' training steps.
    # What is written stays the same program. The test of the installed wheel runs the tools as they are.
    yapf_api.FormatCode = lambda text, **options: (text, False)
    # A run asks compilers for their versions, which stay.
    runner.collect_env = cache(runner.collect_env)
    # mmengine collects garbage for each dataset, among all objects of the stack: longer than most tests take, and in a
    # copy of the process (``launch``) each object is then copied, too. Here Python collects when it has reason to.
    base_dataset.gc = SimpleNamespace(collect=lambda: 0)


@pytest.fixture(autouse=True, scope='module')
def old_objects_are_not_collected() -> None:
    """Exempt what modules and tests before left from garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():  # without one, torch would keep the seed and a traceback for each kind of device
        torch.cuda.manual_seed_all(0)


@contextmanager
def _global_instances_restored() -> Iterator[None]:
    """Forget the default scope, logger, visualizer and message hub that were created inside.

    mmengine keeps them by name for the whole process: without this, a test that sets ``default_scope='mmseg'`` makes
    the next one pass that forgot to, and a second Runner of the same name draws into the first one's folder.
    """
    before = {manager: dict(manager._instance_dict) for manager in _subclasses(ManagerMixin)}
    yield
    for manager in _subclasses(ManagerMixin):
        kept = before.get(manager, {})
        for name, instance in list(manager._instance_dict.items()):
            if kept.get(name) is not instance:
                for handler in getattr(instance, 'handlers', ()):
                    handler.close()
                del manager._instance_dict[name]
        manager._instance_dict.update(kept)


@pytest.fixture(autouse=True)
def global_instances_restored() -> Iterator[None]:
    """What a test created in mmengine's global tables goes with it."""
    with _global_instances_restored():
        yield


@pytest.fixture(autouse=True, scope='module')
def global_instances_of_a_module_restored() -> Iterator[None]:
    """So does what the fixtures of a module created, which are older than each of its tests."""
    with _global_instances_restored():
        yield


@pytest.fixture(scope='session')
def isolated() -> Callable[[], AbstractContextManager[None]]:
    """A context for fixtures of the session, which would leave to all tests what they create in these tables."""
    return _global_instances_restored


@pytest.fixture
def mmseg_scope() -> None:
    """Make ``mmseg`` the default scope, as the configs do: unprefixed types are mmseg's."""
    init_default_scope('mmseg')


@pytest.fixture(scope='session')
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope='session')
def real_data() -> Path:
    """Folder of the real data sets; skips where it is absent.

    The environment variable ``DEEPUNETTO_DATA`` names it; without the variable it is looked for beside the repository.
    """
    folder = Path(os.environ.get('DEEPUNETTO_DATA') or REPOSITORY.parent / 'shared' / 'data')
    if not folder.is_dir():
        pytest.skip(f'no real data at {folder}; set DEEPUNETTO_DATA to run this test')
    return folder


def _copy(
    function: Callable[..., object], arguments: tuple, variables: dict[str, str], printed: Path, all_done: Barrier
) -> NoReturn:
    """Call the function, and end when all have: gloo's threads now and then abort a process that cleans up."""
    descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = os.fdopen(1, 'w', buffering=1, closefd=False)
    MMLogger._instance_dict.clear()  # those of the process that was copied print where it did
    os.environ.update(variables)
    status = 1
    try:
        function(*arguments)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    with suppress(BrokenBarrierError):
        all_done.abort() if status else all_done.wait()
    os._exit(status)


@pytest.fixture(scope='session')
def launch(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[tuple[int, str]]]:
    """``launch(function, *arguments, processes=2)``: call it in copies of this process, with torchrun's variables.

    A new interpreter takes five seconds of a core to import the stack, which a copy has. It returns the exit status of
    each process, and what it printed; after ``timeout`` seconds it kills them. ``meanwhile`` is called with the
    processes once they run.
    """
    for what_runs_import_late in (
        'deepunetto_mm.visualization',
        'matplotlib.backends.backend_agg',
        'matplotlib.figure',
        'mmpretrain.models',
        'mmseg.engine',
        'mmseg.evaluation',
        'mmseg.models',
    ):
        import_module(what_runs_import_late)
    folder, fork = tmp_path_factory.mktemp('printed'), multiprocessing.get_context('fork')

    def run(
        function: Callable[..., object],
        *arguments: object,
        processes: int = 2,
        timeout: float = 120,
        meanwhile: Callable[..., object] = lambda *started: None,
    ) -> list[tuple[int, str]]:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            place = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(probe.getsockname()[1]), WORLD_SIZE=str(processes))
        all_done = fork.Barrier(processes)
        started, printed = [], [folder / f'{rank}.txt' for rank in range(processes)]
        for rank, file in enumerate(printed):
            variables = dict(place, RANK=str(rank), LOCAL_RANK=str(rank))
            options = dict(target=_copy, args=(function, arguments, variables, file, all_done))
            started.append(fork.Process(**options))
            started[-1].start()
        try:
            meanwhile(*started)
        finally:
            for process in started:
                process.join(timeout)
                process.kill()
                process.join()
        return [(process.exitcode, file.read_text()) for process, file in zip(started, printed)]

    return run


def _subclasses(cls: type) -> Iterator[type]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
