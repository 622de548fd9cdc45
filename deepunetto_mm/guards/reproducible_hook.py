"""Every random number follows from the seed and from where the training stands."""

from __future__ import annotations

import random
from functools import partial
from itertools import islice
from typing import Any, Callable, Iterator, Optional

import numpy as np
import torch
from mmengine.dist import broadcast, get_rank
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, Dataset, IterableDataset, Sampler

from deepunetto_mm.guards.training_loader import counts_iterations, exchange_data
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

    The order of the pictures is the sampler's. mmengine begins an epoch anew that was interrupted, and counts on; here
    ``EpochBasedTrainLoop`` goes on behind the batches that the epoch has had. ``IterBasedTrainLoop`` finds its place
    itself, with ``InfiniteSampler`` without loading what it skips. For both, checkpoints note the sampler's seed (a run
    without one has another each time) and the number of batches in the epoch.

    Of several processes only the first one's running statistics are saved; before a validation the others take these,
    so that it does not depend on whether the run was resumed.

    Raises:
        ValueError: At the start of training, if the data have no indices (``IterableDataset``) or are not in batches,
            or if an epoch is to be gone on with whose batches are of varying size (a ``batch_sampler`` of its own).
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._sampler: Optional[_NumberedSampler] = None
        self._resumed: dict[str, Any] = {}
        # Of the epoch under way: its number, its first iteration, and how many batches an earlier run took of it.
        self._epoch = self._first = self._done = 0

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember where a resumed run stood."""
        if runner._resume:
            self._resumed = checkpoint['meta'].get('reproducible', {})

    def before_train(self, runner: Runner) -> None:
        """Have the loader number its samples, and the dataset draw by their numbers."""
        loop = runner.train_loop
        loader = loop.dataloader
        if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
            raise ValueError('ReproducibleHook needs batches of data with indices, not an IterableDataset')
        sampler = loader.batch_sampler.sampler
        if self._resumed.get('sampler_seed') is not None:
            sampler.seed = self._resumed['sampler_seed']
        if not counts_iterations(loop) and self._resumed.get('batches', 0):
            if type(loader.batch_sampler) is not BatchSampler:
                raise ValueError(
                    f'the checkpoint is from within an epoch, and with {type(loader.batch_sampler).__name__} as the '
                    'batch_sampler its place cannot be found again; resume from one of the end of an epoch'
                )
            # The loop would count the batches of this epoch, by which logs are written, from 0.
            run_iter = loop.run_iter
            loop.run_iter = lambda idx, data_batch: run_iter(idx + self._done, data_batch)
        self._sampler = _NumberedSampler(sampler)
        exchange_data(loop, _SeededDataset(loader.dataset, runner.seed, get_rank()), self._sampler)

    def before_train_epoch(self, runner: Runner) -> None:
        """Number on from the epochs before, and skip the batches that a resumed epoch has had."""
        assert self._sampler is not None
        if counts_iterations(runner.train_loop):
            return  # one epoch, counted through
        self._done = self._resumed.pop('batches', 0)
        self._epoch, self._first = runner.epoch, runner.iter - self._done
        self._sampler.number = runner.epoch * len(self._sampler)
        self._sampler.skipped = self._done * (runner.train_dataloader.batch_size or 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the model draws in this step."""
        seed = _seed_all_but_torch(runner.seed, get_rank(), _STEP, runner.iter)
        torch.manual_seed(seed)  # of all devices

    def before_val_epoch(self, runner: Runner) -> None:
        """Validate the network that is saved, in all processes."""
        averaged = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        for model in (runner.model, *averaged):
            for buffer in model.buffers():
                broadcast(buffer)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note where the run stands in its data."""
        if self._sampler is None:
            return  # not of a training
        meta = checkpoint['meta']
        within = not counts_iterations(runner.train_loop) and meta['epoch'] == self._epoch
        meta['reproducible'] = dict(
            sampler_seed=getattr(self._sampler.sampler, 'seed', None),
            batches=meta['iter'] - self._first if within else 0,
        )


class _Numbered(int):
    """The index of a sample that knows the how manyeth it is. Samplers of batches may take it for the index."""

    number: int


class _NumberedSampler(Sampler):
    """Numbers the indices of a sampler, from the beginning of the training on."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.number = 0
        self.skipped = 0  # at the beginning of the next round

    def __iter__(self) -> Iterator[int]:
        skipped, self.skipped = self.skipped, 0
        self.number += skipped
        for index in islice(self.sampler, skipped, None):
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
