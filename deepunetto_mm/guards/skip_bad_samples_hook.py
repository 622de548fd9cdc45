"""Training that tolerates a few unreadable samples."""

import logging
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from deepunetto_mm.guards.training_loader import WrappedDataset, exchange_data
from deepunetto_mm.registry import HOOKS


class BadSampleError(ValueError):
    """Too many training samples cannot be read; the message names the file of the last one."""


@HOOKS.register_module()
class SkipBadSamplesHook(Hook):
    """Replace an unreadable training sample by the next one, count such samples, and list them.

    Without this hook the first one ends the run. With it, each is logged when it is first read, and all are listed at
    the end of training. It works with any dataset, with or without workers, and any number of processes. The sample of
    the next index is used, so that two runs see the same data.

    Validation and test do not skip: a score over fewer or other pictures would be wrong without any sign of it.

    Args:
        limit: The run stops after more than ``limit`` different bad samples in one process. 0 stops at the first, and
            names its file for any dataset.

    Raises:
        BadSampleError: If it stops.
    """

    def __init__(self, limit: int = 10) -> None:
        if limit < 0:
            raise ValueError(f'SkipBadSamplesHook: limit must be at least 0, got {limit}')
        self.limit = limit
        self._dataset: Any = None

    def before_train(self, runner: Runner) -> None:
        """Wrap the training dataset."""
        loader = runner.train_loop.dataloader
        if loader.dataset is self._dataset:
            return
        self._dataset = _WithoutBadSamples(loader.dataset, self.limit)
        exchange_data(runner.train_loop, self._dataset, loader.batch_sampler.sampler)

    def after_train(self, runner: Runner) -> None:
        """List the samples that were replaced."""
        bad = self._dataset.bad.clone()
        all_reduce(bad, 'max')
        names = [self._dataset.name(index) for index in bad.nonzero()[:, 0].tolist()]
        if names:
            runner.logger.warning(
                f'{len(names)} of {len(bad)} training samples could not be read and were replaced: ' + ', '.join(names)
            )


class _WithoutBadSamples(WrappedDataset):
    """A wrapper of a dataset in which the next sample replaces an unreadable one.

    Attributes:
        bad: (N,) uint8, 1 for samples that could not be read, in memory shared by all workers.
    """

    def __init__(self, dataset: Any, limit: int) -> None:
        bad = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()
        super().__init__(dataset, limit=limit, bad=bad)

    def __getitem__(self, index: int) -> Any:
        # The first index is used unchanged: it may carry the seed of the augmentation.
        for tried in (index, *((index + step) % len(self) for step in range(1, len(self)))):
            try:
                return self.dataset[tried]
            except MemoryError:
                raise
            except Exception as error:
                self._note(tried, error)
        raise BadSampleError(f'none of the {len(self)} training samples can be read; the last: {self.name(index)}')

    def name(self, index: int) -> str:
        """The file of a sample, if the dataset knows it."""
        try:
            return str(self.dataset.get_data_info(index)['img_path'])
        except Exception:
            return f'sample {index}'

    def _note(self, index: int, error: Exception) -> None:
        known = bool(self.bad[index])
        self.bad[index] = 1
        count, name = int(self.bad.sum()), self.name(index)
        what = ' '.join(str(error).split()) or type(error).__name__
        # Usually the error names the file already.
        what = what if name in what else f'{name}: {type(error).__name__}: {what}'
        if count > self.limit:
            raise BadSampleError(
                f'{what} ({count} training samples cannot be read, and SkipBadSamplesHook tolerates {self.limit})'
            ) from error
        if not known:
            print_log(
                f'{what} (replaced by the next training sample; {count} of at most {self.limit} bad ones)',
                'current',
                logging.WARNING,
            )
