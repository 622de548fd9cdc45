"""Batches of pictures of several sizes."""

from __future__ import annotations

from typing import Any, Callable, Hashable, Sequence


def by_size(
    predict: Callable[[Any], list[Any]], sizes: Sequence[Hashable], take: Callable[[list[int]], Any], data: Any
) -> list[Any]:
    """Predict a batch in as many passes as it has sizes: pictures of one size go through a network at once.

    Args:
        predict: From a batch to the results of its pictures, in their order.
        sizes: Size of each of the N pictures.
        take: Makes a batch of those of some numbers.
        data: The whole batch, which is predicted at once if all sizes are equal.

    Returns:
        The N results, in the order of the pictures.
    """
    numbers = {size: [i for i, other in enumerate(sizes) if other == size] for size in sizes}
    if len(numbers) <= 1:
        return predict(data)
    results = {i: result for own in numbers.values() for i, result in zip(own, predict(take(own)))}
    return [results[i] for i in range(len(sizes))]
