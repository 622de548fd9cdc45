"""Convolutions in the memory format that they are fastest in."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the model's weights channels-last, which convolutions pass on to their outputs.

    Results are the same but for rounding. It pays on CPUs, and on GPUs with mixed precision; networks with few
    convolutions gain nothing, hence it is a choice of the config. Checkpoints are not affected.

    On CPUs with AVX-512 it is not for networks with 1x1 convolutions of stride 2 over fewer than 16 channels: their
    gradient writes beyond its memory, and the process may crash (seen with 4, 8 and 12 channels, torch 2.14.1).
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model's weights, before the first step and before a checkpoint is loaded into them."""
        runner.model.to(memory_format=torch.channels_last)
