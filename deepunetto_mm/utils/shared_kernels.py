"""Checkpoints of a network whose two backbones have the same kernels."""

import torch
from torch import Tensor

# What the names of a segmentor's parameters begin with: of the encoder, and of the backbone for crops.
FIRST, SECOND = 'backbone.', 'fine_branch.fine_backbone.'


def fill_in_shared(state_dict: dict[str, Tensor], prefix: str = '') -> None:
    """Put back, in place, what a segmentor with ``fine_backbone='shared'`` has left out of a checkpoint.

    A network with two encoders can load it, too.

    Args:
        state_dict: Of any segmentor. Nothing is put in unless all that it has of a second backbone is in the first one,
            with the same shapes, and no kernel: a backbone of its own, such as ResNet-18 beside ResNet-34, has some.
            Equal matrices are no kernels but buffers, such as the indices of a Swin Transformer's positions.
        prefix: What the names of the segmentor's parameters begin with.
    """
    first, second = f'{prefix}{FIRST}', f'{prefix}{SECOND}'
    of_first = {key.removeprefix(first): own for key, own in state_dict.items() if key.startswith(first)}
    of_second = {key.removeprefix(second): own for key, own in state_dict.items() if key.startswith(second)}
    left_out = all(
        name in of_first and of_first[name].shape == own.shape and (own.dim() < 2 or torch.equal(of_first[name], own))
        for name, own in of_second.items()
    )
    if of_second and left_out:
        for name, own in of_first.items():
            state_dict.setdefault(second + name, own)
