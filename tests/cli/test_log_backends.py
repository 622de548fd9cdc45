"""Backends of the visualizer are added to those of the config."""

import pytest
from mmengine.config import Config

from deepunetto_mm.cli import log_backends
from deepunetto_mm.cli.log_backends import BACKENDS, add_log_backends
from deepunetto_mm.registry import VISBACKENDS
from deepunetto_mm.utils.errors import UsageError


@pytest.fixture
def all_installed(monkeypatch):
    monkeypatch.setattr(log_backends, 'find_spec', lambda name: True)


def _cfg(backends):
    return Config(dict(visualizer=dict(type='deepunetto_mm.RegionVisualizer', vis_backends=backends)))


@pytest.mark.parametrize('present', [dict(type='LocalVisBackend'), [dict(type='LocalVisBackend')]])
def test_adds_several_behind_the_local_one(all_installed, present):
    cfg = _cfg(present)
    add_log_backends(cfg, ['wandb', 'tensorboard', 'wandb', 'mlflow'])
    types = [backend.type for backend in cfg.visualizer.vis_backends]
    assert types == ['LocalVisBackend', *(BACKENDS[name] for name in ('wandb', 'tensorboard', 'mlflow'))]
    assert all(VISBACKENDS.get(kind) for kind in types)


def test_keeps_what_is_there_with_its_options(all_installed):
    cfg = _cfg([dict(type='deepunetto_mm.MLflowBackend', tracking_uri='sqlite:///all.db')])
    add_log_backends(cfg, ['mlflow', 'tensorboard'])
    assert cfg.visualizer.vis_backends == [
        dict(type='deepunetto_mm.MLflowBackend', tracking_uri='sqlite:///all.db'),
        dict(type='TensorboardVisBackend'),
    ]


def test_names_the_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(log_backends, 'find_spec', lambda name: name == 'tensorboard')
    cfg = _cfg(None)
    with pytest.raises(UsageError, match='^--log-to mlflow needs the package mlflow: pip install mlflow$'):
        add_log_backends(cfg, ['tensorboard', 'mlflow'])
    assert cfg.visualizer.vis_backends is None
    with pytest.raises(UsageError, match='has no visualizer'):
        add_log_backends(Config(dict()), ['tensorboard'])
