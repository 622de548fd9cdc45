"""Wrapping and replacing the dataset and sampler of a training loop."""

from typing import Any, Iterator

from mmengine.dataset import InfiniteSampler
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader

# Options of a loader that do not depend on its data.
_KEPT = (
    'num_workers', 'collate_fn', 'pin_memory', 'timeout', 'worker_init_fn', 'multiprocessing_context', 'generator',
    'prefetch_factor', 'persistent_workers',
)  # fmt: skip


class WrappedDataset:
    """A wrapper that has the attributes of its dataset beside its own; those that are set become the dataset's.

    Hooks such as mmpretrain's SwitchRecipeHook set the pipeline of a dataset.

    Args:
        dataset: The dataset.
        own: The wrapper's own attributes.
    """

    def __init__(self, dataset: Any, **own: Any) -> None:
        self.__dict__.update(own, dataset=dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # does not exist yet during unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.dataset, name, value)


def counts_iterations(loop: Any) -> bool:
    """Whether it is an ``IterBasedTrainLoop`` or similar, which can be resumed at any iteration."""
    return hasattr(loop, 'dataloader_iterator')


def exchange_data(loop: Any, dataset: Any, sampler: Any) -> None:
    """Replace the dataset and sampler of a training loop, before it has taken a batch.

    They cannot be replaced in its ``DataLoader``, whose workers may be running, so the loop gets a new loader with
    otherwise the same options.

    Args:
        loop: A loop of mmengine's Runner, over epochs or iterations.
        dataset: The new dataset, of the same length.
        sampler: The old sampler, or a wrapper of it.
    """
    loader: DataLoader = loop.dataloader
    innermost = getattr(sampler, 'sampler', sampler)
    if isinstance(innermost, InfiniteSampler):
        # Restart it: in the classic mmengine the loop's workers have prefetched already.
        innermost.indices = innermost._indices_of_rank()
    batch_sampler: Any = loader.batch_sampler
    if type(batch_sampler) is BatchSampler:
        batches: dict[str, Any] = dict(batch_size=loader.batch_size, sampler=sampler, drop_last=loader.drop_last)
    else:
        batch_sampler.sampler = sampler
        batches = dict(batch_sampler=batch_sampler)
    loop.dataloader = DataLoader(dataset, **batches, **{name: getattr(loader, name) for name in _KEPT})
    if counts_iterations(loop):
        # On resume it skips the samples that were used, with the sampler's skip if there is one.
        loop.dataloader_iterator = endless_iterator(loop.dataloader)


def endless_iterator(loader: DataLoader) -> Iterator[Any]:
    """The iterator of a loop over iterations; it starts to read with the first batch.

    The iterator of mmengine up to 0.10.7 starts its workers at once, before a resumed run knows what to skip and before
    other hooks wrap the data.
    """
    if hasattr(_InfiniteDataloaderIterator, 'skip_iter'):
        return _InfiniteDataloaderIterator(loader)

    def begun_when_asked() -> Iterator[Any]:
        yield from _InfiniteDataloaderIterator(loader)

    return begun_when_asked()
