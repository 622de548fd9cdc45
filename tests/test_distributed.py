"""Training in two processes, on gloo, compared with training in one."""

import importlib.util
from pathlib import Path

import pytest
import torch

from deepunetto_mm.cli.runtime import FSDP_NEEDS_GPU
from deepunetto_mm.datasets import RodConeShapes

WORKER = Path(__file__).parent / 'data' / 'distributed_worker.py'

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='gloo is for machines without a GPU')

NEEDS_SHARDS = pytest.mark.skipif(FSDP_NEEDS_GPU, reason='FSDP of this torch needs a GPU')
TRAININGS = [
    'two_shapes_each',
    'some_without_shapes',
    'poisoned',
    'centres',
    pytest.param('sharded', marks=NEEDS_SHARDS),
]


@pytest.fixture(scope='module')
def worker():
    spec = importlib.util.spec_from_file_location('distributed_worker', WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def two_processes(worker, launch, tmp_path_factory):
    """What each training ended with in the first process, and in the second."""
    out = tmp_path_factory.mktemp('two_processes') / 'ended.pth'
    for status, printed in launch(worker.main, out):
        assert status == 0, printed
    return torch.load(out)


@pytest.fixture(scope='module')
def one_process(worker, tmp_path_factory):
    """What one process ends with whose batches are as large as those of the two together."""
    equal, unequal = (
        worker.train(scenes, tmp_path_factory.mktemp(scenes)) for scenes in ('two_shapes_each', 'some_without_shapes')
    )
    poisoned = worker.train('two_shapes_each', tmp_path_factory.mktemp('poisoned'), poisoned=True)
    centres = worker.train('some_without_shapes', tmp_path_factory.mktemp('centres'), centres=True)
    return dict(two_shapes_each=equal, some_without_shapes=unequal, sharded=equal, poisoned=poisoned, centres=centres)


def test_scenes_have_the_shapes_that_they_are_picked_for(worker):
    dataset = RodConeShapes(num_scenes=80, seed=0, size=(64, 64))
    numbers = {
        name: [len(dataset[scene]['regions']['ids']) for scene in scenes] for name, scenes in worker.SCENES.items()
    }
    assert numbers['two_shapes_each'] == [2] * 8
    assert [number > 0 for number in numbers['some_without_shapes'][0::2]] == [True, True, False, True]
    assert [number > 0 for number in numbers['some_without_shapes'][1::2]] == [False, False, False, True]


@pytest.mark.parametrize('name', TRAININGS)
def test_processes_end_with_the_same_parameters(two_processes, name):
    first, second = (ended[name] for ended in two_processes)
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)


@pytest.mark.parametrize('name', TRAININGS)
def test_two_processes_with_one_picture_equal_one_with_two(two_processes, one_process, name):
    torch.testing.assert_close(two_processes[0][name], one_process[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_resumed_equals_uninterrupted(two_processes, loop):
    """With running statistics of each process, and validation."""
    assert [ended['resumed'][loop] for ended in two_processes] == [[], []]


def test_two_accumulated_batches_equal_one_of_twice_the_size(worker, one_process, tmp_path):
    accumulated = worker.train('two_shapes_each', tmp_path, accumulative_counts=2)
    torch.testing.assert_close(accumulated, one_process['two_shapes_each'], rtol=0, atol=1e-5)


def test_the_trainings_differ(two_processes):
    """Otherwise nothing would have been compared."""
    ended = two_processes[0]
    for name in ('some_without_shapes', 'poisoned'):
        assert not torch.allclose(ended['two_shapes_each'], ended[name], atol=1e-2)
