"""A warning when the loss explodes, with the part that grew most."""

from collections import deque
from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class LossExplosionHook(Hook):
    """Warn when the mean loss of the last steps is many times the median of the steps before.

    The run continues: it may recover, and :class:`NonFiniteHook` stops it if it becomes nan. There is at most one
    warning in ``window`` steps. Losses stay on their device and are compared every ``interval`` steps.

    Args:
        factor: Warn if the mean of the last ``interval`` steps exceeds this multiple of the earlier median.
        window: Number of steps that are stored.
        interval: Number of last steps that are averaged.

    Raises:
        ValueError: If the options leave nothing to compare.
    """

    def __init__(self, factor: float = 10.0, window: int = 100, interval: int = 10) -> None:
        if factor <= 1:
            raise ValueError(f'LossExplosionHook: factor must be more than 1, got {factor}')
        if not 1 <= interval < window:
            raise ValueError(f'LossExplosionHook: interval must be from 1 to below window={window}, got {interval}')
        self.factor = factor
        self.window = window
        self.interval = interval
        self._steps: deque[dict[str, Tensor]] = deque(maxlen=window)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        """Compare every ``interval`` steps, once the window is full."""
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
            changes = ', '.join(f'{name} {parts[name][0]:.4g} -> {parts[name][1]:.4g}' for name in growth)
            rate = runner.optim_wrapper.get_lr()['lr'][0]
            runner.logger.warning(
                f'the loss has grown from {before:.4g}, the median of {self.window - self.interval} steps, to '
                f'{now:.4g}, the mean of the last {self.interval}, at a learning rate of {rate:.3g}. Its parts, '
                f'largest growth first: {changes}. If it does not recover, use a lower rate, a longer warm-up, or '
                'optim_wrapper.clip_grad=dict(max_norm=...)'
            )
            self._steps.clear()
