"""Figures, drawings and the config of a run in MLflow."""

from __future__ import annotations

import atexit
import logging
import os
import posixpath
import re
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.visualization import BaseVisBackend
from mmengine.visualization.vis_backend import force_init_env

from deepunetto_mm.registry import VISBACKENDS

# What MLflow takes at once, and the length of a parameter's value.
_METRICS, _PARAMS, _LONGEST = 1000, 100, 6000


@VISBACKENDS.register_module()
class MLflowBackend(BaseVisBackend):
    """Writes figures, drawings and the config of a run to MLflow.

    With MLflow 3, mmengine's backend stops at its store of files, and at the first drawing; and it loses all figures
    of a step if MLflow refuses the name of one.

    Runs are in ``mlflow.db`` and ``mlflow/`` of the work directory, unless the environment variable
    ``MLFLOW_TRACKING_URI`` names a server or another database. The experiment has the name of the work directory, a
    run that of its folder, the time of its start; it has failed if it was not finished. Once a run has begun, an error
    of the server is a warning.

    Args:
        save_dir: ``WORK_DIR/TIME/vis_data``, as mmengine's visualizer passes it.
        tracking_uri: As the environment variable, which it overrules.
    """

    def __init__(self, save_dir: str, tracking_uri: Optional[str] = None) -> None:
        super().__init__(save_dir)
        self.tracking_uri = tracking_uri

    def _init_env(self) -> None:
        from mlflow import MlflowClient

        run_dir = Path(self._save_dir).resolve().parent
        work_dir = run_dir.parent
        uri, artifacts = self.tracking_uri or os.environ.get('MLFLOW_TRACKING_URI'), None
        if not uri:
            work_dir.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f'sqlite:///{work_dir / "mlflow.db"}', (work_dir / 'mlflow').as_uri()
        self._client = MlflowClient(uri)  # and not the functions of mlflow, which have one run a process
        found = self._client.get_experiment_by_name(work_dir.name)
        experiment = found.experiment_id if found else self._client.create_experiment(work_dir.name, artifacts)
        self._run = self._client.create_run(experiment, run_name=run_dir.name).info.run_id
        atexit.register(self._end, 'FAILED')  # unless it is closed before

    @property
    @force_init_env
    def experiment(self) -> Any:
        """The ``MlflowClient``."""
        return self._client

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Write the config as ``config.py``, and each of its values as a parameter, by which MLflow compares runs."""
        from mlflow.entities import Param

        self._write(self._client.log_text, config.pretty_text, 'config.py')
        params = [Param(_allowed(name), text[:_LONGEST]) for name, text in _flat(config.to_dict())]
        for start in range(0, len(params), _PARAMS):
            self._write(self._client.log_batch, params=params[start : start + _PARAMS])

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Write a drawing, (H, W, 3) uint8 RGB."""
        self._write(self._client.log_image, image, key=_allowed(name), step=step)

    @force_init_env
    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Write a figure."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: Optional[str] = None, **kwargs: Any) -> None:
        """Write figures of one step."""
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        metrics = [Metric(_allowed(name), float(value), now, step) for name, value in scalar_dict.items()]
        for start in range(0, len(metrics), _METRICS):
            self._write(self._client.log_batch, metrics=metrics[start : start + _METRICS])

    def close(self) -> None:
        """Mark the run as finished."""
        if hasattr(self, '_run'):
            atexit.unregister(self._end)
            self._end('FINISHED')

    def _end(self, status: str) -> None:
        self._write(self._client.set_terminated, status)

    def _write(self, write: Callable, *args: Any, **options: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            write(self._run, *args, **options)
        except MlflowException as error:
            print_log(f'MLflow: {error}', 'current', logging.WARNING)


def _allowed(name: str) -> str:
    """A name of a figure or a class in the letters that MLflow allows; it becomes a path."""
    return posixpath.normpath(re.sub(r'[^\w./ :-]', '_', name)).lstrip('./') or '_'


def _flat(part: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """Dotted keys and values as text."""
    items: Any = ()
    if isinstance(part, Mapping):
        items = part.items()
    elif isinstance(part, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in part):
        items = enumerate(part)
    if not items:
        yield name, str(part)
    for key, value in items:
        yield from _flat(value, f'{name}.{key}' if name else str(key))
