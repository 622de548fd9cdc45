"""Compiling the networks inside a model by torch."""

import types
from typing import Any, Optional, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from deepunetto_mm.registry import HOOKS

NETWORKS = ('backbone', 'neck', 'decode_head', 'fine_branch.fine_backbone')


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the networks of a model with ``torch.compile`` in training, each as one function.

    mmengine's ``compile=True`` compiles the whole training step, which breaks into many graphs at every region that is
    read and every loss that is logged. Networks map tensors to tensors: each is one graph. Their ``forward`` is
    replaced in place, so checkpoints, the optimizer and other hooks see the same names as before. Of the decode head of
    a model with dense heads, which read its last features too, it is ``forward_features``; a head without that method
    stays as it is.

    Validation and test are not compiled, because each size of picture would need another compilation. Nor are batches
    without crops: inductor's code for the CPU fails in their backward pass.

    Args:
        parts: Names of modules of the model, with dots for nested ones; by default those of :data:`NETWORKS` that the
            model has.
        backend, mode, dynamic, fullgraph: As in ``torch.compile``. By default the number of crops becomes a variable of
            the code when it first changes.

    Raises:
        ValueError: At the start of training, if the model has no such part, or a part's ``forward`` was replaced
            already, as by mmengine's ``activation_checkpointing``.
    """

    def __init__(
        self,
        parts: Optional[Sequence[str]] = None,
        backend: str = 'inductor',
        mode: Optional[str] = None,
        dynamic: Optional[bool] = None,
        fullgraph: bool = False,
    ) -> None:
        self.parts = parts
        self.options = dict(backend=backend, mode=mode, dynamic=dynamic, fullgraph=fullgraph)
        self._is_done = False

    def before_train(self, runner: Runner) -> None:
        """Replace the parts' ``forward`` after weights are loaded and EMAHook has copied the model."""
        if self._is_done:  # a second training by one Runner
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        modules = dict(model.named_modules())
        parts = self.parts or [name for name in NETWORKS if name in modules]
        if missing := [name for name in parts if name not in modules]:
            raise ValueError(
                f'CompileHook: {type(model).__name__} has no {missing}; its parts are {list(model._modules)}'
            )
        for name in parts:
            if 'forward' in vars(modules[name]):
                raise ValueError(
                    f'CompileHook: the forward of {name} was replaced already; if by activation_checkpointing, '
                    'list modules inside of it there'
                )
        for name in parts:
            shared = name == 'decode_head' and getattr(model, 'dense_heads', None)
            method = 'forward_features' if shared else 'forward'
            if hasattr(modules[name], method):
                _compile(modules[name], method, self.options)
        self._is_done = True


def _compile(module: nn.Module, name: str, options: dict[str, Any]) -> None:
    plain = getattr(type(module), name)
    compiled = torch.compile(plain, **options)

    def forward(self: nn.Module, *inputs: Any) -> Any:
        empty = isinstance(inputs[0], Tensor) and not len(inputs[0])
        return (compiled if self.training and not empty else plain)(self, *inputs)

    # A method, not a closure over the module: copies of the model must run their own weights.
    setattr(module, name, types.MethodType(forward, module))
