"""How long a step and a validation take on this machine: tried."""

from __future__ import annotations

import copy
import time
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope

_STEPS, _SECONDS = 3, 12  # at least, and as many as fit
_VALIDATIONS = 3


def time_step(cfg: Config) -> tuple[float, float]:
    """Seconds of a training step, with reading its pictures, and of a picture in validation.

    The first step, which is slower, does not count, and the quickest of the others does: another program may have had
    the processor in some. With workers, reading and computing overlap.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        loader = cfg.train_dataloader
        train = DATASETS.build(copy.deepcopy(loader.dataset))
        val = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
        model: Any = MODELS.build(copy.deepcopy(cfg.model))
        model.to(get_device(), memory_format=torch.channels_last)  # as the config's hook
        optimizer = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
        if 'bfloat16' in cfg.default_hooks:
            HOOKS.build(cfg.default_hooks.bfloat16).before_train(SimpleNamespace(model=model, optim_wrapper=optimizer))
        model.train()
        reading: list[float] = []
        computing: list[float] = []
        for step in range(4 * _STEPS):
            if step >= _STEPS and sum(reading) + sum(computing) > _SECONDS:
                break
            begin = time.monotonic()
            batch = [train[(step * loader.batch_size + i) % len(train)] for i in range(loader.batch_size)]
            middle = time.monotonic()
            model.train_step(pseudo_collate(batch), optimizer)
            _wait()
            reading.append(middle - begin)
            computing.append(time.monotonic() - middle)
        model.eval()
        tested = []
        with torch.no_grad():
            for index in range(min(_VALIDATIONS, len(val))):
                begin = time.monotonic()
                model.val_step(pseudo_collate([val[index * len(val) // _VALIDATIONS]]))
                _wait()
                tested.append(time.monotonic() - begin)
    read, computed = (min(times[1:]) for times in (reading, computing))
    workers = loader.num_workers
    step_seconds = max(read / workers, computed) if workers else read + computed
    return step_seconds, min(tested)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
