"""Networks on a batch that may be empty."""

from typing import Callable, Sequence

from torch import Tensor


def run_on_crops(network: Callable[[Tensor], Sequence[Tensor]], crops: Tensor) -> Sequence[Tensor]:
    """What a network makes of R crops, where R may be 0.

    Most networks take an empty batch. Some reshape with -1, which is undefined then (Swin, ResNeSt, mmpretrain's
    ``GlobalAveragePooling``): those get blank crops, whose features are cut off. The features stay connected to the
    network's parameters in either case.

    Args:
        network: Maps crops (R, C, h, w) to feature maps, each of R.
        crops: (R, C, h, w).
    """
    if len(crops):
        return network(crops)
    try:
        return network(crops)
    except RuntimeError:
        # Two, because batch normalisation refuses a single value.
        return [features[:0] for features in network(crops.new_zeros(2, *crops.shape[1:]))]
