"""Weights of a network as safetensors: in float16, or the large ones in 8 bits."""

import os
from typing import Mapping, Union

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

# A tensor in 8 bits is two tensors of the file. No parameter has such a name: torch allows no empty part between dots.
_VALUES, _SCALE = '..int8', '..scale'
_LARGE = 16384  # numbers; smaller tensors are 2 % of the size and matter more: docs/model_zoo.md


def encode_weights(state: Mapping[str, Tensor], int8: bool = False) -> bytes:
    """Weights as the content of a file ``*.safetensors``, which is the same for the same weights.

    Floating-point tensors become float16, unless it has no number for one of their values: then the tensor stays as it
    is.

    Args:
        state: Weights of any type by name.
        int8: Store matrices and kernels (C, ...) of at least 16384 numbers in 8 bits: the integers
            ``round(weight / scale)`` from -127 to 127 as ``NAME..int8``, and ``NAME..scale``, float32 (C,), the largest
            magnitude of each row of the first dimension divided by 127. No weight changes by more than half its scale.
            Tensors with a value or a scale that is not finite are stored as without ``int8``.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if int8 and tensor.is_floating_point() and tensor.dim() > 1 and tensor.numel() >= _LARGE:
            scale = (tensor.double().flatten(1).abs().amax(1) / 127).float()
            if scale.isfinite().all():  # so is the tensor: the largest of NaN and other numbers is NaN
                scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)  # a channel of zeros
                values = (tensor / _by_channel(scale.double(), tensor)).round()
                stored |= {name + _VALUES: values.to(torch.int8).contiguous(), name + _SCALE: scale}
                continue
        half = tensor.half() if tensor.is_floating_point() else tensor
        stored[name] = (half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor).contiguous()
    # No metadata: with several keys, the same weights would have another SHA-256 in each run.
    return save(stored)


def decode_weights(content: bytes, file: Union[str, os.PathLike]) -> dict[str, Tensor]:
    """The weights of a file of :func:`encode_weights`, or of any other file of safetensors.

    Args:
        content: The content of the file.
        file: Its name, for errors.

    Returns:
        Weights by name; those stored in 8 bits are float32.

    Raises:
        ValueError: If it is not a file of safetensors, or a tensor in 8 bits has no scale, or one that does not fit.
    """
    try:
        state = load(content)
    except SafetensorError as error:
        raise ValueError(f'{file} is not a file of safetensors, or is damaged; get it again ({error})') from error
    suffixes = (_VALUES, _SCALE)
    for name in sorted({key.removesuffix(suffix) for key in state for suffix in suffixes if key.endswith(suffix)}):
        values, scale = (state.pop(name + suffix, torch.empty(0)) for suffix in suffixes)
        fits = values.dtype == torch.int8 and scale.dtype == torch.float32 and scale.shape == values.shape[:1]
        if not fits or not scale.isfinite().all() or name in state:
            raise ValueError(
                f'{file}: {name} is stored in 8 bits, which takes {name + _VALUES} of int8, {name + _SCALE} of float32 '
                f'with a finite number for each of its channels, and no {name} beside them; get the file again'
            )
        state[name] = values * _by_channel(scale, values)
    return state


def _by_channel(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.dim() - 1))
