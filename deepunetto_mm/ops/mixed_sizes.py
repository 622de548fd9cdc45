"""Batches of pictures of several sizes."""

from typing import Any, Callable


def predict_by_size(predict: Callable[[Any], list[Any]], data: dict[str, Any]) -> list[Any]:
    """Predict a batch in as many passes as it has sizes, since a network takes pictures of one size at once.

    Args:
        predict: From a batch to the results of its pictures, in their order.
        data: ``inputs``, pictures (C, H, W), or a list of them for each view; ``data_samples`` in the same form.

    Returns:
        The results in the order of the pictures.
    """
    inputs = data['inputs']
    of_views = isinstance(inputs[0], (list, tuple))
    pictures = zip(*inputs) if of_views else ((picture,) for picture in inputs)
    sizes = [tuple(tuple(view.shape[1:]) for view in views) for views in pictures]
    if len(set(sizes)) <= 1:
        return predict(data)
    results: dict[int, Any] = {}
    for size in dict.fromkeys(sizes):
        own = [number for number, other in enumerate(sizes) if other == size]

        def take(values: Any, own: list[int] = own) -> list[Any]:
            return [values[number] for number in own]

        batch = {key: [take(view) for view in value] if of_views else take(value) for key, value in data.items()}
        results.update(zip(own, predict(batch)))
    return [results[number] for number in range(len(sizes))]
