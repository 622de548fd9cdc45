"""Random numbers that depend only on the seed and the position in the training."""

from __future__ import annotations

import random
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import numpy as np
import torch
from mmengine.dist import broadcast, broadcast_object_list, get_rank
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, IterableDataset, Sampler

from deepunetto_mm.guards.resumed_settings import overruled_settings
from deepunetto_mm.guards.training_loader import WrappedDataset, counts_iterations, exchange_data
from deepunetto_mm.registry import HOOKS
from deepunetto_mm.utils.files import write_whole

_STEP, _SAMPLE = 0, 1


@HOOKS.register_module()
class ReproducibleHook(Hook):
    """Make a resumed run equal to an uninterrupted one: random numbers depend only on seed, process and step.

    mmengine's checkpoints do not contain the state of the random numbers, so a resumed run repeats those of its first
    steps. Instead of storing the states of all processes and workers, this hook reseeds::

        each step of the model     from (seed, process, step): dropout, jitter, sampling of regions
        each sample of the data    from (seed, process, number of the sample since the training began)

    So a resumed run equals an uninterrupted one, with any number of workers, persistent or not. Workers that are
    restarted each epoch do not repeat their augmentations, validation does not change the training, and processes draw
    different numbers. Only the global generators are seeded (``random``, ``numpy.random``, ``torch``), which the
    transforms of mmengine and mmseg use.

    The sampler determines the order of the pictures. mmengine restarts an interrupted epoch but keeps its counter. With
    this hook ``EpochBasedTrainLoop`` continues behind the batches that the epoch has had. ``IterBasedTrainLoop`` finds
    its place without it (with ``InfiniteSampler`` it does not load skipped samples). For both, checkpoints contain the
    sampler's seed, which is random in a run without a seed, and the number of batches in the epoch.

    A checkpoint is saved before its validation. If the run did not survive that validation, the resumed run begins with
    it, so that the best checkpoint and the log are complete. The file ``last_validation`` in the work directory has the
    iteration of the last one that ended.

    Gradients that wait for the next step (``accumulative_counts``) are not in a checkpoint: a run that is resumed from
    within a step loses them. A warning says so when such a checkpoint is saved.

    Only the first process saves its running statistics. Before a validation the other processes copy them, so that the
    validation does not depend on whether the run was resumed.

    mmengine resumes the optimizer and its schedules with the settings of the checkpoint. Where the config has others,
    such as another learning rate, a warning names them.

    Raises:
        ValueError: At the start of training, if the data have no indices (``IterableDataset``) or are not in batches,
            or if a run is resumed within an epoch with a custom ``batch_sampler``.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._sampler: Optional[_NumberedSampler] = None
        self._resumed: dict[str, Any] = {}
        # Of the current epoch: its number, its first iteration, and the number of batches that an earlier run took.
        self._epoch = self._first = self._done = 0
        self._owes_validation = False
        self._has_warned = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the position of a resumed run, and say which settings of the config it does not follow."""
        if not runner._resume:
            return
        self._resumed = checkpoint['meta'].get('reproducible', {})
        note = _last_validation(runner)
        validated = note.read_text() if note.is_file() else ''
        # The note is the first process's, and all must validate, or none.
        owes = [self._resumed.get('batches') == 0 and validated != str(checkpoint['meta']['iter'])]
        broadcast_object_list(owes)
        self._owes_validation = owes[0]
        overruled = overruled_settings(runner, checkpoint)
        if overruled:
            runner.logger.warning(
                'the resumed optimizer and schedules keep the settings of the checkpoint, not those of the config: '
                f'{"; ".join(overruled)}. To train with those of the config, take only the weights: '
                f'load_from={runner._load_from or "CHECKPOINT"} without resume'
            )

    def before_train(self, runner: Runner) -> None:
        """Make the loader number its samples, and the dataset seed by these numbers."""
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
                    'batch_sampler its position cannot be found; resume from a checkpoint of the end of an epoch'
                )
            # Without this, the loop would count the batches of this epoch for the log from 0.
            run_iter = loop.run_iter
            loop.run_iter = lambda idx, data_batch: run_iter(idx + self._done, data_batch)
        if not runner._resume and get_rank() == 0:
            _last_validation(runner).unlink(missing_ok=True)  # of an earlier run
        self._sampler = _NumberedSampler(sampler)
        exchange_data(loop, _SeededDataset(loader.dataset, seed=runner.seed, rank=get_rank()), self._sampler)

    def before_train_epoch(self, runner: Runner) -> None:
        """Continue the numbering of the samples, and skip the batches that a resumed epoch has had."""
        assert self._sampler is not None
        self._make_up_validation(runner)
        if counts_iterations(runner.train_loop):
            return  # a single epoch
        self._done = self._resumed.pop('batches', 0)
        self._epoch, self._first = runner.epoch, runner.iter - self._done
        self._sampler.number = runner.epoch * len(self._sampler)
        self._sampler.skipped = self._done * (runner.train_dataloader.batch_size or 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the model's random numbers of this step."""
        seed = _seed_all_but_torch(runner.seed, get_rank(), _STEP, runner.iter)
        torch.manual_seed(seed)  # of all devices

    def before_val_epoch(self, runner: Runner) -> None:
        """Make all processes validate the network that is saved."""
        averaged = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        for model in (runner.model, *averaged):
            for buffer in model.buffers():
                broadcast(buffer)

    def after_val(self, runner: Runner) -> None:
        """Note the position, when all hooks have the figures."""
        if self._sampler is not None and get_rank() == 0:
            write_whole(_last_validation(runner), str(runner.iter).encode())

    def after_train(self, runner: Runner) -> None:
        """If the run was complete but for its last validation, validate before other hooks end."""
        self._make_up_validation(runner)

    def _make_up_validation(self, runner: Runner) -> None:
        """Validate the resumed weights where the loop would have done so, unless it has."""
        loop = runner.train_loop
        if not self._owes_validation or runner.val_loop is None or not hasattr(loop, '_decide_current_val_interval'):
            return
        self._owes_validation = False
        position, end = (loop.iter, loop.max_iters) if counts_iterations(loop) else (loop.epoch, loop.max_epochs)
        loop._decide_current_val_interval()
        if position >= loop.val_begin and (position % loop.val_interval == 0 or position == end):
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the position in the data."""
        if self._sampler is None:
            return  # not a training run
        meta = checkpoint['meta']
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapper) and not (self._has_warned or wrapper.should_update()):
            self._has_warned = True
            runner.logger.warning(
                f'the checkpoint of iteration {meta["iter"]} is from within a step of accumulated gradients, and a run '
                'resumed from it loses them. Save where iterations are a multiple of optim_wrapper.accumulative_counts'
            )
        within = not counts_iterations(runner.train_loop) and meta['epoch'] == self._epoch
        meta['reproducible'] = dict(
            sampler_seed=getattr(self._sampler.sampler, 'seed', None),
            batches=meta['iter'] - self._first if within else 0,
        )


def _last_validation(runner: Runner) -> Path:
    return Path(runner.work_dir, 'last_validation')


class _Numbered(int):
    """The index of a sample, with the sample's number since the training began."""

    number: int


class _NumberedSampler(Sampler):
    """Numbers the indices of a sampler since the training began."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.number = 0
        self.skipped = 0  # at the beginning of the next epoch

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


class _SeededDataset(WrappedDataset):
    """Seeds the global generators before each sample is made, in the worker that makes it."""

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, _Numbered):
            seed = _seed_all_but_torch(self.seed, self.rank, _SAMPLE, index.number)
            # Not torch.manual_seed, which also calls the GPU's driver.
            torch.default_generator.manual_seed(seed)
        return self.dataset[int(index)]


def _seed_all_but_torch(*numbers: int) -> int:
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    return seed
