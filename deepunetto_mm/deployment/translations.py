"""What torch's exporter cannot translate to ONNX."""

import functools
from typing import Any, Callable, Optional, Sequence

import torch
from torch import Tensor, nn


@torch.library.custom_op('deepunetto_mm::conv2d_same', mutates_args=())
def conv2d_same(x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: Sequence[int], groups: int) -> Tensor:
    """A convolution of n pixels to ceil(n / stride); only its translation to ONNX is ever run."""
    return _shape(x, weight, bias, stride, groups)


@conv2d_same.register_fake
def _shape(x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: Sequence[int], groups: int) -> Tensor:
    height, width = ((n + step - 1) // step for n, step in zip(x.shape[2:], stride))
    return x.new_empty(x.shape[0], weight.shape[0], height, width)


def _translate(x: Any, weight: Any, bias: Any, stride: Sequence[int], groups: int) -> Any:
    from onnxscript import opset20

    return opset20.Conv(x, weight, bias, auto_pad='SAME_UPPER', strides=list(stride), group=groups)


def _round(number: Any, digits: None = None) -> Any:
    """Python's ``round``, by which a :class:`ReducedBackbone` finds its size; halves become even in both."""
    from onnxscript import opset20

    return opset20.Cast(opset20.Round(number), to=7)  # int64


TRANSLATIONS: dict[Callable, Callable] = {torch.ops.deepunetto_mm.conv2d_same.default: _translate, round: _round}


def replace_same_convolutions(network: nn.Module) -> None:
    """Make timm's ``Conv2dSame`` of a network, TensorFlow's padding, one operator each, in place.

    They compute their padding from the picture's size. With sizes that are not known, torch's exporter reasons about
    these numbers for minutes; ONNX has the padding as an attribute. Dilated ones are left alone: onnxruntime has no
    such padding for them.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and type(layer).__name__ == 'Conv2dSame' and set(layer.dilation) == {1}:
            layer.forward = functools.partial(_convolve, layer)  # type: ignore[method-assign]


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return torch.ops.deepunetto_mm.conv2d_same(x, layer.weight, layer.bias, layer.stride, layer.groups)
