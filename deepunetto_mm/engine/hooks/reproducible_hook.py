"""Every random number follows from the seed and from where the training stands."""

from __future__ import annotations

import random
from functools import partial
from typing import Any, Callable, Iterator, Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler

from deepunetto_mm.registry import HOOKS

_STEP, _SAMPLE = 0, 1


@HOOKS.register_module()
class ReproducibleHook(Hook):
    """Resume as if nothing had happened: what is drawn depends on seed, process and step alone.

    mmengine's checkpoints have no state of the random numbers, so that a resumed run draws those of its first steps
    again. Instead of keeping the states of all processes and workers, this hook draws anew::

        each step of the model     seeded by (seed, process, step): dropout, jitter, sampling of regions
        each sample of the data    seeded by (seed, process, number of the sample since the training began)

    So a resumed run equals an uninterrupted one, with any number of workers, persistent or not; workers that start
    anew each epoch do not repeat their augmentations; validation does not change the training; and processes draw
    different numbers. Global generators alone are seeded (``random``, ``numpy.random``, ``torch``), as mmengine's and
    mmseg's transforms use them.

    The order of the pictures is the sampler's, which mmengine restores: at the beginning of an epoch with
    ``EpochBasedTrainLoop``, so let it save by epoch; at any step with ``IterBasedTrainLoop`` and ``InfiniteSampler``.

    Raises:
        ValueError: At the start of training, if the data have no indices (``IterableDataset``) or are not in batches.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._sampler: Optional[_NumberedSampler] = None

    def before_train(self, runner: Runner) -> None:
        """Have the loader number its samples, and the dataset draw by their numbers."""
        loop = runner.train_loop
        loader = loop.dataloader
        if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
            raise ValueError('ReproducibleHook needs batches of data with indices, not an IterableDataset')
        self._sampler = _NumberedSampler(loader.batch_sampler.sampler)
        loop.dataloader = _rebuilt(loader, _SeededDataset(loader.dataset, runner.seed, get_rank()), self._sampler)
        if hasattr(loop, 'dataloader_iterator'):
            # It skips on resume what has been seen already, by what the sampler offers.
            loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Number on from the epochs before; a loop over iterations is one epoch."""
        assert self._sampler is not None
        self._sampler.number = runner.epoch * len(self._sampler)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws in this step."""
        seed = _seed_all_but_torch(runner.seed, get_rank(), _STEP, runner.iter)
        torch.manual_seed(seed)  # of all devices


class _Numbered(int):
    """The index of a sample that knows the how manyeth it is. Samplers of batches may take it for the index."""

    number: int


class _NumberedSampler(Sampler):
    """Numbers the indices of a sampler, from the beginning of the training on."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.number = 0

    def __iter__(self) -> Iterator[int]:
        for index in self.sampler:
            numbered = _Numbered(index)
            numbered.number = self.number
            self.number += 1
            yield numbered

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'sampler':  # pickle asks before there is a sampler
            raise AttributeError(name)
        value = getattr(self.sampler, name)
        return partial(self._skip, value) if name == 'skip' else value

    def _skip(self, skip: Callable[[int], None], num_samples: int) -> None:
        skip(num_samples)
        self.number = num_samples


class _SeededDataset(Dataset):
    """Seeds the global generators before each sample is made, in the worker that makes it."""

    def __init__(self, dataset: Any, seed: int, rank: int) -> None:
        self.__dict__.update(dataset=dataset, seed=seed, rank=rank)

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, _Numbered):
            seed = _seed_all_but_torch(self.seed, self.rank, _SAMPLE, index.number)
            # Not torch.manual_seed, which asks the GPU's drivers too.
            torch.default_generator.manual_seed(seed)
        return self.dataset[int(index)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Hooks such as mmpretrain's SwitchRecipeHook set the dataset's pipeline.
        setattr(self.dataset, name, value)


def _seed_all_but_torch(*numbers: int) -> int:
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    return seed


def _rebuilt(loader: DataLoader, dataset: Dataset, sampler: _NumberedSampler) -> DataLoader:
    """The loader with another dataset and sampler, which cannot be exchanged in place."""
    batch_sampler: Any = loader.batch_sampler
    if type(batch_sampler) is BatchSampler:
        batches: dict[str, Any] = dict(batch_size=loader.batch_size, sampler=sampler, drop_last=loader.drop_last)
    else:
        batch_sampler.sampler = sampler
        batches = dict(batch_sampler=batch_sampler)
    return DataLoader(
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
