"""Do the heads of a segmentor fit the classes that they learn?"""

from typing import Any, Iterator, Sequence

from torch import nn


def check_heads(model: Any, classes: Sequence[str], ignore_index: int) -> None:
    """Compare decode heads and auxiliary heads, of mmseg or of this package, with a data set.

    mmseg does not, and ends in the middle of a step: on a GPU with an assertion that names nothing.

    Args:
        model: A segmentor.
        classes: The segmentation classes.
        ignore_index: The label of pixels that are ignored.

    Raises:
        ValueError: If a head has another ``ignore_index``, or a loss another number of ``class_weight``.
    """
    for name, head in _heads(model):
        if getattr(head, 'ignore_index', ignore_index) != ignore_index:
            raise ValueError(
                f'model.{name}.ignore_index is {head.ignore_index}, that of the taxonomy or data {ignore_index}: set '
                'both to the same'
            )
        losses = getattr(head, 'loss_decode', None)
        for loss in losses if isinstance(losses, nn.ModuleList) else [losses]:
            weights = getattr(loss, 'class_weight', None)
            # With one channel for two classes, mmseg weighs the channel.
            if weights is not None and len(weights) not in (len(classes), head.out_channels):
                raise ValueError(
                    f'model.{name}.loss_decode: class_weight of {type(loss).__name__} needs a number for each of the '
                    f'{len(classes)} classes {list(classes)}, got {len(weights)}'
                )


def _heads(model: Any) -> Iterator[tuple[str, Any]]:
    for name in ('decode_head', 'auxiliary_head'):
        heads = getattr(model, name, None)
        if isinstance(heads, nn.ModuleList):
            yield from ((f'{name}[{number}]', head) for number, head in enumerate(heads))
        elif heads is not None:
            yield name, heads
