"""Fixtures shared by the tests, in tests/ and beside the projects."""

from __future__ import annotations

import gc
import os
import random
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.utils import ManagerMixin
from torch.utils.data import _utils
from yapf.yapflib import yapf_api

REPOSITORY = Path(__file__).resolve().parent


def pytest_configure() -> None:
    """One thread, and no long wait for loader workers."""
    # Tiny tensors: threads cost more than they bring, and sums that depend on their number are no ground to compare on.
    torch.set_num_threads(1)
    # Workers of a run that ended with an error are collected in a cycle with it, in which their queues may go first:
    # they never hear that they may end, and torch waits so many seconds for each before it ends them.
    _utils.MP_STATUS_CHECK_INTERVAL = 1.0
    # mmengine lays a config out for each log and each checkpoint, which takes longer than the tests' training steps.
    # What is written stays the same program. The test of the installed wheel runs the tools as they are.
    yapf_api.FormatCode = lambda text, **options: (text, False)


def pytest_collection_finish() -> None:
    """Exempt what was imported from garbage collection: mmengine collects for each dataset that it builds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


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
    """Likewise what the fixtures of a module created, which are older than each of its tests."""
    with _global_instances_restored():
        yield


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


def _subclasses(cls: type) -> Iterator[type]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
