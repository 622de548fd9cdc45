"""Convolutions in their fastest memory format."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the model's weights channels-last; convolutions then produce channels-last outputs.

    Results are the same up to rounding. It is faster on CPUs, and on GPUs with mixed precision; networks with few
    convolutions gain nothing, so the config decides. Checkpoints are not affected.

    On CPUs with AVX-512 do not use it for networks with 1x1 convolutions of stride 2 over fewer than 16 channels: their
    gradient writes beyond its memory, and the process may crash (seen with 4, 8 and 12 channels, torch 2.14.1).
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model's weights, before the first step and before a checkpoint is loaded into them."""
        runner.model.to(memory_format=torch.channels_last)
