"""Batches of pictures: how many of them are read and predicted at once."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterator

import numpy as np
import torch
from mmseg.structures import SegDataSample

from .picture_sources import Source

Batch = list[tuple[Source, np.ndarray, dict]]
"""Sources, each with its picture (H, W, 3) BGR and the pipeline's output; equal sizes in a batch."""

# Pictures of more pixels are read, predicted and written one after the other, so that one of them is in memory.
LARGE = 2**24
# Batches that are predicted side by side, and their pixels together: a network needs much memory for each.
SIDE_BY_SIDE, PIXELS_SIDE_BY_SIDE = 4, 2**22


def is_large(batch: Batch) -> bool:
    """Whether no other batch should be in memory beside this one."""
    return _pixels(batch) > LARGE


def read_ahead(batches: Iterator[Batch], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """Batches, of which the next one is made while one is in use, unless that one is large."""
    batch = next(batches, None)
    while batch is not None:
        if is_large(batch):
            yield batch
            batch = next(batches, None)
        else:
            coming = pool.submit(next, batches, None)
            yield batch
            batch = coming.result()


def predict_side_by_side(
    batches: Iterator[Batch], predict: Callable[[Batch], list[SegDataSample]], cores: int
) -> Iterator[tuple[Batch, list[SegDataSample]]]:
    """Batches with their predictions, in their order.

    On several cores of a CPU a few are predicted side by side, each by a thread on its share of the cores: most of a
    network's operations on a small picture are too short to be divided.

    Args:
        batches: What to predict.
        predict: Predicts a batch; it is called by several threads.
        cores: Number of cores to share; with 1 there is nothing to share, and no thread.
    """
    number = min(cores, SIDE_BY_SIDE)
    if number == 1:
        yield from ((batch, predict(batch)) for batch in batches)
        return
    waiting: deque[tuple[Batch, Future]] = deque()
    with ThreadPoolExecutor(number, initializer=torch.set_num_threads, initargs=(cores // number,)) as workers:
        try:
            for batch in batches:
                most = min(number, PIXELS_SIDE_BY_SIDE // _pixels(batch))
                while waiting and len(waiting) >= most:
                    yield _first(waiting)
                if most < 2:
                    yield batch, predict(batch)
                else:
                    waiting.append((batch, workers.submit(predict, batch)))
                del batch
            while waiting:
                yield _first(waiting)
        finally:
            torch.set_num_threads(cores)  # of libraries that have one number for all threads


def _first(waiting: deque[tuple[Batch, Future]]) -> tuple[Batch, list[SegDataSample]]:
    batch, future = waiting.popleft()
    return batch, future.result()


def _pixels(batch: Batch) -> int:
    return sum(picture.shape[0] * picture.shape[1] for _, picture, _ in batch)
