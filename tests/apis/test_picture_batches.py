"""How many batches are in use at once, by a prediction that says so."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deepunetto_mm.apis import picture_batches
from deepunetto_mm.apis.picture_batches import is_large, predict_side_by_side, read_ahead


def _batch(number, height=2, width=3):
    return [(number, np.zeros((height, width, 3), np.uint8), {})]


@pytest.fixture
def threads_given(monkeypatch):
    given = []
    monkeypatch.setattr(torch, 'set_num_threads', given.append)
    return given


class Predict:
    """The number of a batch, times ten, once as many others are predicted."""

    def __init__(self, most):
        self.together = threading.Barrier(most)
        self.running, self.numbers, self.threads = [], [], set()

    def __call__(self, batch):
        self.threads.add(threading.get_ident())
        self.running.append(batch)
        self.numbers.append(len(self.running))
        self.together.wait(timeout=60)
        self.running.pop()
        return [10 * source for source, *_ in batch]


@pytest.mark.parametrize(
    ('cores', 'pixels', 'most', 'share'),
    [(9, 2**22, 4, 2), (3, 2**22, 3, 1), (3, 6 * 2 + 5, 2, 1), (3, 6 * 2 - 1, 1, None), (1, 2**22, 1, None)],
)
def test_as_many_at_once_as_share_the_cores_and_the_pixels(monkeypatch, threads_given, cores, pixels, most, share):
    monkeypatch.setattr(picture_batches, 'PIXELS_SIDE_BY_SIDE', pixels)
    predict = Predict(most)
    predicted = list(predict_side_by_side(map(_batch, range(12)), predict, cores))
    assert [(batch[0][0], result) for batch, result in predicted] == [(i, [10 * i]) for i in range(12)]
    assert max(predict.numbers) == most
    assert (predict.threads == {threading.get_ident()}) == (most == 1)
    assert threads_given == ([] if cores == 1 else [share] * (len(threads_given) - 1) + [cores])
    assert (len(threads_given) > 1) == (most > 1)


def test_a_picture_of_many_pixels_waits_for_those_before_it(monkeypatch, threads_given):
    monkeypatch.setattr(picture_batches, 'PIXELS_SIDE_BY_SIDE', 100)
    finished, before = [], []

    def predict(batch):
        if len(batch[0][1]) > 2:
            before.extend(finished)
        finished.append(batch[0][0])
        return []

    batches = [_batch(0), _batch(1), _batch(2, 10, 10), _batch(3)]
    assert [batch[0][0] for batch, _ in predict_side_by_side(iter(batches), predict, 4)] == [0, 1, 2, 3]
    assert sorted(before) == [0, 1]


def test_an_error_comes_in_its_turn_and_the_cores_are_given_back(threads_given):
    def predict(batch):
        if batch[0][0] == 2:
            raise ValueError('two')
        return []

    predicted = predict_side_by_side(map(_batch, range(5)), predict, 2)
    assert [next(predicted)[0][0][0] for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match='two'):
        next(predicted)
    assert threads_given[-1] == 2
    del threads_given[:]
    stopped = predict_side_by_side(map(_batch, range(5)), lambda batch: [], 2)
    next(stopped)
    stopped.close()
    assert threads_given[-1] == 2


def test_the_next_batch_is_read_while_one_is_in_use_unless_that_one_is_large(monkeypatch):
    monkeypatch.setattr(picture_batches, 'LARGE', 6)
    assert [is_large(_batch(0)), is_large(_batch(0, 2, 4))] == [False, True]
    read = []

    def batches():
        for number, width in enumerate((3, 4, 4, 3)):
            read.append(number)
            yield _batch(number, 2, width)

    with ThreadPoolExecutor(1) as pool:
        seen = []
        for batch in read_ahead(batches(), pool):
            pool.submit(int).result()  # what was asked for has been read
            seen.append((batch[0][0], len(read)))
    assert seen == [(0, 2), (1, 2), (2, 3), (3, 4)]
    with ThreadPoolExecutor(1) as pool:
        assert list(read_ahead(iter([]), pool)) == []
