"""Testing with a network that is prepared for inference."""

from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.runner import Runner

from deepunetto_mm.ops.inference import prepared_for_inference
from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class InferenceHook(Hook):
    """Test a copy of the model that is prepared for inference; see
    :func:`~deepunetto_mm.ops.inference.prepared_for_inference`.

    Sharded models (FSDP) are tested as they are.

    Args:
        bf16: Also compute convolutions and matrix products in bfloat16: faster on processors and GPUs that have it,
            with slightly different predictions.
    """

    priority = 'LOWEST'  # the copy is made after EMAHook has put the averaged weights in

    def __init__(self, bf16: bool = False) -> None:
        self.bf16 = bf16
        self._original: Any = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Put the copy in place of the model."""
        model = runner.model
        if isinstance(model, MMDistributedDataParallel):
            model = model.module
        if not is_model_wrapper(model):
            self._original, runner.model = runner.model, prepared_for_inference(model, self.bf16)
        if self.bf16:
            # Around the step: mmengine's loop switches off what was entered outside of it.
            in_bfloat16 = torch.autocast(next(model.parameters()).device.type, torch.bfloat16)
            runner.model.test_step = in_bfloat16(runner.model.test_step)

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict[str, float]] = None) -> None:
        """Put the model back."""
        vars(runner.model).pop('test_step', None)
        if self._original is not None:
            runner.model = self._original
        self._original = None
