"""Networks on a batch that may be empty, or of a single crop."""

from contextlib import contextmanager
from typing import Callable, Iterator, Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def run_on_crops(network: Callable[[Tensor], Sequence[Tensor]], crops: Tensor, owner: nn.Module) -> Sequence[Tensor]:
    """The features of R crops, where R may be 0.

    Most networks accept an empty batch. Some reshape with -1, which is then undefined (Swin, ResNeSt, mmpretrain's
    ``GlobalAveragePooling``): those get blank crops, whose features are cut off. In either case the features stay
    connected to the network's parameters, and blank crops do not change running means and variances.

    BatchNorm cannot normalise a single value, as of one crop whose map is 1x1. Such a crop is normalised by the running
    means and variances, as in a test, which it does not change. So are all crops of a step if a process has none and
    the norms are of all processes (``SyncBatchNorm``): of an empty batch they would wait for each other for ever, or
    forget a tenth of what they have learned.

    Args:
        network: Maps crops (R, C, h, w) to feature maps, each of R.
        crops: (R, C, h, w).
        owner: The module whose layers ``network`` runs.
    """
    if any(isinstance(module, nn.SyncBatchNorm) and module.training for module in owner.modules()):
        fewest = torch.tensor(len(crops), device=crops.device)
        all_reduce(fewest, 'min')
        if fewest == 0:
            with fixed_statistics(owner):
                return _run(network, crops, owner)
    return _run(network, crops, owner)


def _run(network: Callable[[Tensor], Sequence[Tensor]], crops: Tensor, owner: nn.Module) -> Sequence[Tensor]:
    if len(crops) == 1:
        return _run_on_one(network, crops, owner)
    if len(crops):
        return network(crops)
    try:
        return network(crops)
    except RuntimeError:
        with fixed_statistics(owner):
            # Two, because some layers cannot normalise a single value.
            return [features[:0] for features in network(crops.new_zeros(2, *crops.shape[1:]))]


def _run_on_one(network: Callable[[Tensor], Sequence[Tensor]], crop: Tensor, owner: nn.Module) -> Sequence[Tensor]:
    layers = [module for module in owner.modules() if isinstance(module, _BatchNorm) and module.training]
    before = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    try:
        return network(crop)
    except ValueError as error:
        if 'more than 1 value per channel' not in str(error):
            raise
    for layer, buffers in zip(layers, before):  # those that came before it have learned from the crop
        layer.load_state_dict(buffers, strict=False)
    with fixed_statistics(owner):
        return network(crop)


@contextmanager
def fixed_statistics(owner: nn.Module) -> Iterator[None]:
    """The batch norms of a module normalise by their running means and variances, and do not change them."""
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
