"""Says so when a loss explodes, and which part of it."""

from __future__ import annotations

from collections import deque
from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class LossExplosionHook(Hook):
    """Warn when the loss of the last steps is many times what it was before.

    The run goes on: it may recover, and :class:`NonFiniteHook` stops it when it cannot. A warning is given once in
    ``window`` steps. Values stay on their device until they are looked at, every ``interval`` steps.

    Args:
        factor: How many times the median of the steps before the mean of the last ``interval`` ones is called an
            explosion.
        window: Number of steps that are remembered.
        interval: Number of the last steps.

    Raises:
        ValueError: If the options leave nothing to compare.
    """

    def __init__(self, factor: float = 10.0, window: int = 100, interval: int = 10) -> None:
        if factor <= 1:
            raise ValueError(f'LossExplosionHook: factor is more than 1, got {factor}')
        if not 1 <= interval < window:
            raise ValueError(f'LossExplosionHook: interval is from 1 to below window={window}, got {interval}')
        self.factor = factor
        self.window = window
        self.interval = interval
        self._steps: deque[dict[str, Tensor]] = deque(maxlen=window)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        """Compare, every ``interval`` steps, once the window is full."""
        self._steps.append({key: value.detach() for key, value in (outputs or {}).items() if 'loss' in key})
        if len(self._steps) < self.window or not self.every_n_train_iters(runner, self.interval):
            return
        parts = {}
        for name in self._steps[-1]:
            values = torch.stack([step[name].float() for step in self._steps if name in step]).cpu()
            if len(values) > self.interval:
                parts[name] = (values[: -self.interval].median().item(), values[-self.interval :].mean().item())
        before, now = parts.pop('loss', (0.0, 0.0))
        if now > self.factor * before > 0:
            growth = sorted(parts, key=lambda name: parts[name][1] / max(parts[name][0], 1e-12), reverse=True)
            told = ', '.join(f'{name} {parts[name][0]:.4g} -> {parts[name][1]:.4g}' for name in growth)
            rate = runner.optim_wrapper.get_lr()['lr'][0]
            runner.logger.warning(
                f'the loss has grown from {before:.4g}, the median of {self.window - self.interval} steps, to '
                f'{now:.4g}, the mean of the last {self.interval}, at a learning rate of {rate:.3g}. Its parts, the '
                f'worst first: {told}. If it does not come down by itself: a lower rate, a longer warm-up, or '
                'optim_wrapper.clip_grad=dict(max_norm=...)'
            )
            self._steps.clear()
