"""Networks on a batch that may be empty."""

from contextlib import contextmanager
from typing import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def run_on_crops(network: Callable[[Tensor], Sequence[Tensor]], crops: Tensor, owner: nn.Module) -> Sequence[Tensor]:
    """The features of R crops, where R may be 0.

    Most networks accept an empty batch. Some reshape with -1, which is then undefined (Swin, ResNeSt, mmpretrain's
    ``GlobalAveragePooling``): those get blank crops, whose features are cut off. In either case the features stay
    connected to the network's parameters, and blank crops do not change running means and variances.

    Args:
        network: Maps crops (R, C, h, w) to feature maps, each of R.
        crops: (R, C, h, w).
        owner: The module whose layers ``network`` runs.
    """
    if len(crops):
        return network(crops)
    try:
        return network(crops)
    except RuntimeError:
        with _fixed_statistics(owner):
            # Two, because some layers cannot normalise a single value.
            return [features[:0] for features in network(crops.new_zeros(2, *crops.shape[1:]))]


@contextmanager
def _fixed_statistics(owner: nn.Module) -> Iterator[None]:
    # Otherwise they would learn from blank crops: after ten pictures without an object, a momentum of 0.1 would have
    # replaced two thirds of them.
    training = [module for module in owner.modules() if isinstance(module, _BatchNorm) and module.training]
    for module in training:
        module.eval()
    try:
        yield
    finally:
        for module in training:
            module.train()
