"""Have a training loop read its data through something else."""

from __future__ import annotations

from typing import Any, Iterator

from mmengine.dataset import InfiniteSampler
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import BatchSampler, DataLoader


def counts_iterations(loop: Any) -> bool:
    """Whether it is an ``IterBasedTrainLoop`` or of its kind, which is resumed at any iteration."""
    return hasattr(loop, 'dataloader_iterator')


def exchange_data(loop: Any, dataset: Any, sampler: Any) -> None:
    """Give a training loop another dataset and sampler, before it has taken a batch.

    Neither can be exchanged in its ``DataLoader``, whose workers may run already, so it gets a new one, alike in all
    else.

    Args:
        loop: Of mmengine's Runner, over epochs or iterations.
        dataset: As long as the one before, or the sampler does not fit.
        sampler: The one before, or one around it.
    """
    loader: DataLoader = loop.dataloader
    innermost = getattr(sampler, 'sampler', sampler)
    if isinstance(innermost, InfiniteSampler):
        # From its beginning: the workers of a loop of the classic mmengine have fetched ahead already.
        innermost.indices = innermost._indices_of_rank()
    batch_sampler: Any = loader.batch_sampler
    if type(batch_sampler) is BatchSampler:
        batches: dict[str, Any] = dict(batch_size=loader.batch_size, sampler=sampler, drop_last=loader.drop_last)
    else:
        batch_sampler.sampler = sampler
        batches = dict(batch_sampler=batch_sampler)
    loop.dataloader = DataLoader(
        dataset,
        **batches,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
    if counts_iterations(loop):
        # On resume it skips what has been seen already, by what the sampler offers.
        loop.dataloader_iterator = endless_iterator(loop.dataloader)


def endless_iterator(loader: DataLoader) -> Iterator[Any]:
    """What a loop over iterations takes its batches from, which begins to read with the first one.

    That of mmengine up to 0.10.7 has workers read at once, before it is known what a resumed run skips, or before
    another hook puts something else around the data.
    """
    if hasattr(_InfiniteDataloaderIterator, 'skip_iter'):
        return _InfiniteDataloaderIterator(loader)

    def begun_when_asked() -> Iterator[Any]:
        yield from _InfiniteDataloaderIterator(loader)

    return begun_when_asked()
