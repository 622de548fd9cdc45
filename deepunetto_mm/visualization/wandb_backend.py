"""Figures, drawings and the config of a run in Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmengine.config import Config
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from deepunetto_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class WandbBackend(WandbVisBackend):
    """mmengine's backend for W&B, with figures and drawings over the step of the training, and without our code.

    mmengine counts calls instead of steps, so that validations are not where they were made. And it uploads all files
    of Python below the working directory, a virtual environment included.

    The run has the names of the work directory and of the run's folder in it, and is in the project ``deepunetto``
    unless the environment variable ``WANDB_PROJECT`` names another one. ``WANDB_MODE=offline`` sends nothing.

    Args:
        save_dir: ``WORK_DIR/TIME/vis_data``, as mmengine's visualizer passes it.
        init_kwargs: Other options of ``wandb.init``.
    """

    def __init__(self, save_dir: str, init_kwargs: Optional[dict] = None) -> None:
        run_dir = Path(save_dir).resolve().parent
        project = os.environ.get('WANDB_PROJECT', 'deepunetto')
        options = {**dict(project=project, name=f'{run_dir.parent.name} {run_dir.name}'), **(init_kwargs or {})}
        super().__init__(save_dir, options, define_metric_cfg=[dict(name='*', step_metric='step')])

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Write the config."""
        self._wandb.config.update(config.to_dict())

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Write a drawing, (H, W, 3) uint8 RGB."""
        self.add_scalars({name: self._wandb.Image(image)}, step)

    @force_init_env
    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Write a figure."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: Optional[str] = None, **kwargs: Any) -> None:
        """Write figures of one step."""
        self._wandb.log({**scalar_dict, 'step': step})
