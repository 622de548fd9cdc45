"""Training in bfloat16 on processors that have it."""

import functools
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class BFloat16Hook(Hook):
    """Compute convolutions and matrix products of the training in bfloat16, by autocast, on a CPU too.

    Parameters, their updates and validation stay in float32. mmengine's ``AmpOptimWrapper`` asks for a GPU. Bfloat16
    has the range of float32, so no loss scale is needed.

    Depthwise convolutions stay in float32: on CPUs their gradient is computed two to three times as slowly in bfloat16
    (torch 2.14). docs/performance.md has what this gains.
    """

    def before_train(self, runner: Runner) -> None:
        """Change how the optimizer wrapper computes a step."""
        device = next(runner.model.parameters()).device.type
        if device == 'cpu':
            for module in runner.model.modules():
                if isinstance(module, nn.Conv2d) and module.groups > 1:
                    module.forward = functools.partial(_in_float32, module.forward)  # type: ignore[method-assign]
        wrapper: Any = runner.optim_wrapper
        plain = wrapper.optim_context

        @contextmanager
        def in_bfloat16(model: nn.Module) -> Iterator[None]:
            with plain(model), torch.autocast(device, torch.bfloat16):
                yield

        wrapper.optim_context = in_bfloat16


def _in_float32(forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    with torch.autocast('cpu', enabled=False):
        return forward(inputs.float())
