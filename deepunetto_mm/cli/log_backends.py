"""Where figures and drawings of a run are written beside the log: ``--log-to`` of the commands."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Sequence

from mmengine.config import Config

from deepunetto_mm.cli.runtime import require_keys
from deepunetto_mm.utils.config_parts import as_list, type_name
from deepunetto_mm.utils.errors import UsageError

# Name, which is that of the package too -> the type of its backend.
BACKENDS = dict(
    tensorboard='TensorboardVisBackend', mlflow='deepunetto_mm.MLflowBackend', wandb='deepunetto_mm.WandbBackend'
)


def add_log_backends(cfg: Config, names: Sequence[str]) -> None:
    """Add backends to the visualizer's, in place; --cfg-options could only replace one.

    Raises:
        UsageError: If a package is not installed, or the config has no visualizer.
    """
    require_keys(cfg, 'visualizer')
    for name in names:
        if not find_spec(name):
            raise UsageError(f'--log-to {name} needs the package {name}: pip install {name}')
    backends = as_list(cfg.visualizer.get('vis_backends') or [])
    present = set(map(type_name, backends))
    added = [
        dict(type=kind) for kind in map(BACKENDS.get, dict.fromkeys(names)) if type_name(dict(type=kind)) not in present
    ]
    cfg.visualizer.vis_backends = [*backends, *added]
