"""A stop or a skipped step before a non-finite gradient reaches the weights."""

from functools import wraps
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from deepunetto_mm.registry import HOOKS
from deepunetto_mm.utils.errors import message_of
from deepunetto_mm.utils.files import whole_file


class NonFiniteError(ValueError):
    """A loss or a gradient is not finite; the message names the loss, and the files of the batch."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop, or skip the step, when a gradient is nan or infinite, before the optimizer uses it.

    mmengine does not check: a run whose weights have all become nan continues to its end. With float16 the loss scaler
    skips such steps, which is normal for a few of them, but it skips forever if the loss stays nan; this hook stops the
    run once the scale has fallen below 1. A static scale (``loss_scale=1.0``) never falls, so there each step that the
    scaler skips is a non-finite one; the message then names no parameter.

    Before it stops or skips, each process writes ``non_finite_iter<N>_rank<R>.pth`` to the work directory: the
    weights before the step, the optimizer's state, the losses, and the batch. ``torch.load(...,
    weights_only=True)`` reads it. If it cannot be written, the message says so.

    A skipped step leaves weights, optimizer and buffers (such as running statistics) unchanged; schedules advance. All
    processes skip the same steps. The cost per step is the norm of the gradient, one synchronisation with the GPU, and
    an all-reduce of one number.

    Args:
        policy: ``'stop'`` or ``'skip'``.
        limit: With ``'skip'``, the run stops after more than ``limit`` skipped steps, including those before a resume.

    Raises:
        NonFiniteError: If it stops.
    """

    priority = 'VERY_HIGH'

    def __init__(self, policy: str = 'stop', limit: int = 10) -> None:
        if policy not in ('stop', 'skip'):
            raise ValueError(f"NonFiniteHook: policy must be 'stop' or 'skip', got {policy!r}")
        if limit < 1:
            raise ValueError(f'NonFiniteHook: limit must be at least 1, got {limit}')
        self.policy = policy
        self.limit = limit
        self.skipped = 0
        self._stepped = False
        self._batches: list[Any] = []
        self._losses: list[dict] = []
        self._buffers: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """Hook into the model, for its losses, and into the optimizer's step."""
        self.skipped = runner.message_hub.runtime_info.get('skipped_steps', 0)
        self._listener = _unwrapped(runner.model).register_forward_hook(self._after_forward)
        optimizer = runner.optim_wrapper.optimizer
        self._step = step = optimizer.step

        @wraps(step)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            # Fused optimizers get what the loss scaler found, and then leave the weights as they are.
            found = getattr(optimizer, 'found_inf', None)
            if found is None:
                self._before_step(runner)
            self._stepped = not found
            return step(*args, **kwargs)

        # The method is replaced, as schedulers do it. torch 2.1 drops hooks of all optimizers in a process once
        # torch.compile was used there.
        optimizer.step = guarded

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Store the batch, and the buffers that a skipped step restores."""
        if self.policy == 'skip' and not self._batches:
            self._buffers = [buffer.clone() for buffer in runner.model.buffers()]
        # With gradient accumulation a step has several batches.
        self._batches.append(data_batch)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[dict] = None
    ) -> None:
        """Check the loss scaler, if there is one, which hides non-finite gradients from the optimizer."""
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        updated = runner.optim_wrapper.should_update()
        if scaler is not None and scaler.is_enabled():
            if getattr(runner.optim_wrapper, '_scale_update_param', None) is not None:  # a static scale
                if updated and not self._stepped:
                    self._stop_or_skip(runner, [], 'the gradient is not finite')
            elif scaler.get_scale() < 1:
                self._save_and_raise(
                    runner, [], f'the loss scale of float16 has fallen to {scaler.get_scale():.3g}', 'stop'
                )
        if updated:
            self._batches, self._losses, self._buffers, self._stepped = [], [], [], False

    def after_train(self, runner: Runner) -> None:
        """Remove the hooks, and report the number of skipped steps."""
        self._listener.remove()
        runner.optim_wrapper.optimizer.step = self._step
        if self.skipped:
            runner.logger.warning(f'NonFiniteHook: {self.skipped} steps were skipped')

    def _after_forward(self, module: nn.Module, args: tuple, output: Any) -> None:
        if module.training and isinstance(output, dict):
            self._losses.append({name: value for name, value in output.items() if 'loss' in name})

    def _before_step(self, runner: Runner) -> None:
        named = _unwrapped(runner.model).named_parameters()
        grads = {name: value.grad for name, value in named if value.grad is not None}
        # A quick check first: finite gradients may also have an infinite norm. Shards of FSDP differ by process.
        norms = torch._foreach_norm(list(grads.values())) or (torch.zeros(()),)
        suspect = (~torch.isfinite(torch.stack(norms)).all()).float()
        all_reduce(suspect, 'max')
        if not suspect:
            return
        names = [name for name, grad in grads.items() if not torch.isfinite(grad).all()]
        bad = torch.tensor(float(bool(names)))
        all_reduce(bad, 'max')
        if not bad:
            return
        # After gradient clipping all parameters are affected, and listing them says nothing.
        some = f' (of {", ".join(names[:3])}{", ..." if len(names) > 3 else ""})' if len(names) < len(grads) else ''
        self._stop_or_skip(runner, names, f'the gradient is not finite{some if names else ""}')

    def _stop_or_skip(self, runner: Runner, names: list[str], what: str) -> None:
        self._save_and_raise(runner, names, what, 'stop' if self.skipped >= self.limit else self.policy)
        self.skipped += 1
        runner.message_hub.update_info('skipped_steps', self.skipped)
        for value in runner.model.parameters():
            value.grad = None  # without a gradient the optimizer leaves a parameter as it is, weight decay included
        for buffer, before in zip(runner.model.buffers(), self._buffers):
            buffer.copy_(before)

    def _save_and_raise(self, runner: Runner, names: list[str], what: str, policy: str) -> None:
        """Save the step for inspection, and raise unless the policy is to skip it."""
        losses = [{name: _total(value) for name, value in entry.items()} for entry in self._losses]
        culprits = sorted({name for entry in losses for name, value in entry.items() if not torch.isfinite(value)})
        files = [path for batch in self._batches for path in _files(batch)]
        rank = get_rank()
        path = Path(runner.work_dir) / f'non_finite_iter{runner.iter + 1}_rank{rank}.pth'
        content = dict(
            iter=runner.iter,
            files=files,
            losses=losses,
            parameters=names,
            batches=[_plain(batch) for batch in self._batches],
            state_dict=runner.model.state_dict(),
            optimizer=runner.optim_wrapper.state_dict(),
        )
        try:
            with whole_file(path, f'{path.stem}.incomplete') as incomplete:
                torch.save(content, incomplete)
            saved = f'saved {path}'
        except (OSError, RuntimeError) as error:  # torch.save raises the latter on a full disk
            saved = f'not saved: {message_of(error)}'
        whose = f'{", ".join(culprits)} of this batch' if culprits else 'the losses of this process are finite'
        message = f'iteration {runner.iter + 1}: {what}; {whose}; files: {", ".join(files) or "unknown"}; {saved}'
        if policy == 'stop':
            raise NonFiniteError(message)
        runner.logger.warning(f'{message}. The step is skipped ({self.skipped + 1} of at most {self.limit})')


def _unwrapped(model: nn.Module) -> nn.Module:
    return _unwrapped(model.module) if is_model_wrapper(model) else model  # type: ignore[arg-type]


def _total(value: Any) -> Tensor:
    """The sum of a loss, a tensor or a list of tensors, as mmengine computes it."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return torch.stack([one.detach().float().mean().cpu() for one in values]).sum()


def _files(batch: Any) -> list[str]:
    samples = batch.get('data_samples', []) if isinstance(batch, dict) else []
    return [str(sample.metainfo['img_path']) for sample in samples if 'img_path' in getattr(sample, 'metainfo', {})]


def _plain(value: Any) -> Any:
    """Tensors in containers that ``weights_only=True`` reads; other objects of a batch become None."""
    if isinstance(value, BaseDataElement):
        value = dict(value.items())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (Tensor, str, int, float)) else None
