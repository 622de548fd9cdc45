"""A loop reads its data through something else, from the beginning of both."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import InfiniteSampler
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader

from deepunetto_mm.guards.training_loader import counts_iterations, endless_iterator, exchange_data


def _doubled(batch):
    return [2 * value for value in batch]


def _loop(loader, over_iterations):
    loop = SimpleNamespace(dataloader=loader)
    if over_iterations:
        loop.dataloader_iterator = _InfiniteDataloaderIterator(loader)
    return loop


@pytest.mark.parametrize('workers', [0, 2])
def test_what_was_read_ahead_is_read_again(workers):
    """As the loop of the classic mmengine has done by then; persistent workers would go on with the old data."""
    sampler = InfiniteSampler(range(6), shuffle=False)
    loader = DataLoader(
        range(6), 2, sampler=sampler, num_workers=workers, persistent_workers=workers > 0, collate_fn=_doubled
    )
    loop = _loop(loader, True)
    assert next(loop.dataloader_iterator) == [0, 2]
    exchange_data(loop, range(10, 16), sampler)
    assert [next(loop.dataloader_iterator) for _ in range(4)] == [[20, 22], [24, 26], [28, 30], [20, 22]]
    assert (loop.dataloader.num_workers, loop.dataloader.persistent_workers) == (workers, workers > 0)


def test_the_sampler_within_another_begins_anew():
    class Around:
        def __init__(self, sampler):
            self.sampler = sampler

        def __iter__(self):
            return iter(self.sampler)

    sampler = InfiniteSampler(range(4), shuffle=False)
    loop = _loop(DataLoader(range(4), 2, sampler=sampler, collate_fn=_doubled), True)
    next(loop.dataloader_iterator)
    exchange_data(loop, range(4), Around(sampler))
    assert next(loop.dataloader_iterator) == [0, 2]


def test_batches_of_ones_own_stay():
    class Reversed(BatchSampler):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    batches = Reversed(range(4), 2, drop_last=True)
    loop = _loop(DataLoader(range(4), batch_sampler=batches, collate_fn=_doubled), False)
    assert not counts_iterations(loop)
    exchange_data(loop, range(10, 14), [3, 2, 1, 0])
    assert list(loop.dataloader) == [[22, 20], [26, 24]]
    assert not hasattr(loop, 'dataloader_iterator')


def test_nothing_is_read_before_it_is_asked_for():
    read = []

    class Telling(list):
        def __getitem__(self, index):
            read.append(index)
            return index

    iterator = endless_iterator(DataLoader(Telling(range(3)), 3, collate_fn=_doubled))
    assert read == []
    assert next(iterator) == [0, 2, 4]
    assert read == [0, 1, 2]
