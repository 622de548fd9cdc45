"""Lets training do without a few samples that cannot be read."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from deepunetto_mm.guards.training_loader import exchange_data
from deepunetto_mm.registry import HOOKS


class BadSampleError(ValueError):
    """More training samples cannot be read than the run may do without; the message names the last one's file."""


@HOOKS.register_module()
class SkipBadSamplesHook(Hook):
    """Take the next sample for one that cannot be read, count such samples, and tell which they were.

    Without this hook the first one ends the run. With it, each is logged when it is met, and all are at the end of
    training. It works with any dataset, workers or none, and any number of processes. The sample of the next index
    stands in, so that two runs see the same data.

    Training alone: a score over fewer or other pictures would be wrong without any sign of it, so a validation or test
    sample that cannot be read ends the run in any case.

    Args:
        limit: At more bad samples than that in one process the run stops: different ones, however often they are met.
            0 stops at the first, and names its file whatever the dataset.

    Raises:
        BadSampleError: If it stops.
    """

    def __init__(self, limit: int = 10) -> None:
        if limit < 0:
            raise ValueError(f'SkipBadSamplesHook: limit is 0 or more, got {limit}')
        self.limit = limit
        self._dataset: Any = None

    def before_train(self, runner: Runner) -> None:
        """Put a dataset around that of the training data."""
        loader = runner.train_loop.dataloader
        if loader.dataset is self._dataset:
            return
        self._dataset = _WithoutBadSamples(loader.dataset, self.limit)
        exchange_data(runner.train_loop, self._dataset, loader.batch_sampler.sampler)

    def after_train(self, runner: Runner) -> None:
        """Tell which samples the run did without."""
        bad = self._dataset.bad.clone()
        all_reduce(bad, 'max')
        names = [self._dataset.name(index) for index in bad.nonzero()[:, 0].tolist()]
        if names:
            runner.logger.warning(
                f'{len(names)} of {len(bad)} training samples could not be read, and others stood in: '
                + ', '.join(names)
            )


class _WithoutBadSamples:
    """A dataset in which the next sample stands in for one that cannot be read; otherwise the one that it is around.

    Attributes:
        bad: (N,) uint8, 1 for samples that could not be read, in memory that all workers share.
    """

    def __init__(self, dataset: Any, limit: int) -> None:
        bad = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()
        self.__dict__.update(dataset=dataset, limit=limit, bad=bad)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # not there yet while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Hooks such as mmpretrain's SwitchRecipeHook set the dataset's pipeline.
        setattr(self.dataset, name, value)

    def __len__(self) -> int:
        return len(self.bad)

    def __getitem__(self, index: int) -> Any:
        # The first as it came: an index may carry more than its number, such as what to seed the augmentation by.
        for tried in (index, *((index + step) % len(self) for step in range(1, len(self)))):
            try:
                return self.dataset[tried]
            except MemoryError:
                raise
            except Exception as error:
                self._note(tried, error)
        raise BadSampleError(f'none of the {len(self)} training samples can be read; the last: {self.name(index)}')

    def name(self, index: int) -> str:
        """The file of a sample, as far as its dataset tells."""
        try:
            return str(self.dataset.get_data_info(index)['img_path'])
        except Exception:
            return f'sample {index}'

    def _note(self, index: int, error: Exception) -> None:
        known = bool(self.bad[index])
        self.bad[index] = 1
        count, name = int(self.bad.sum()), self.name(index)
        what = ' '.join(str(error).split()) or type(error).__name__
        # Its own error names it already, as a rule.
        what = what if name in what else f'{name}: {type(error).__name__}: {what}'
        if count > self.limit:
            raise BadSampleError(
                f'{what} ({count} training samples cannot be read, and SkipBadSamplesHook does without {self.limit})'
            ) from error
        if not known:
            print_log(
                f'{what} (the next training sample stands in; {count} of {self.limit} that may be bad)',
                'current',
                logging.WARNING,
            )
