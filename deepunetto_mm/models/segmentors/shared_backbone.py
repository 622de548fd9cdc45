"""One encoder that looks twice: at the picture, and at crops of it."""

import copy
from typing import Any, Iterator

import torch
from torch import nn

from deepunetto_mm.models.backbones import ReducedBackbone
from deepunetto_mm.utils.shared_kernels import FIRST, SECOND, fill_in_shared


def second_look(backbone: nn.Module) -> nn.Module:
    """A second backbone whose kernels and matrices *are* those of the first: what trains one trains both.

    Vectors, such as biases and the weights of norms, and buffers are its own, since crops have other statistics than
    pictures. Behind a :class:`ReducedBackbone` it sees the crops whole: rods are coarse, cones are not.

    Args:
        backbone: The first one.
    """
    second = copy.deepcopy(backbone, {id(own): own for own in backbone.parameters() if own.dim() > 1})
    for part in second.modules():
        if isinstance(part, ReducedBackbone):
            part.scale = 1
    return second


def leave_out_shared(model: Any, state_dict: dict, prefix: str, _: Any) -> None:
    """Hook of a segmentor's ``state_dict``: what both backbones have is stored once, as the first one's."""
    for _first, second in _shared(model, prefix):
        state_dict.pop(second, None)


def load_shared(model: Any, state_dict: dict, prefix: str) -> None:
    """Put back, in place, what :func:`leave_out_shared` has left out of what a segmentor is loading.

    Raises:
        ValueError: If the segmentor has one encoder, and the checkpoint is of a network with two.
    """
    fill_in_shared(state_dict, prefix)
    for first, second in _shared(model, prefix):
        if {first, second} <= state_dict.keys() and not torch.equal(state_dict[first], state_dict[second]):
            raise ValueError(
                f'{first} and {second} differ in the checkpoint: it is of a network with two encoders, and '
                "this one has fine_backbone='shared'; set fine_backbone to the config that it was trained with"
            )


def _shared(model: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Names of the parameters that both backbones have: the first one's, and the second one's."""
    first = {id(own) for own in model.backbone.parameters()}
    for name, parameter in model.fine_backbone.named_parameters():
        if id(parameter) in first:  # a network that is prepared for inference may share nothing anymore
            yield f'{prefix}{FIRST}{name}', f'{prefix}{SECOND}{name}'
