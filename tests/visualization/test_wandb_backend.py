"""What Weights & Biases is asked to log."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from deepunetto_mm.visualization import WandbBackend


@pytest.fixture
def calls(monkeypatch):
    """The calls of a module without W&B."""
    calls = []
    module = ModuleType('wandb')
    module.init = lambda **options: calls.append(('init', options))
    module.define_metric = lambda **options: calls.append(('define', options))
    module.config = SimpleNamespace(update=lambda config: calls.append(('config', config)))
    module.Image = lambda image: ('image', image.shape)
    module.log = lambda figures: calls.append(('log', figures))
    module.join = lambda: calls.append(('end',))
    monkeypatch.setitem(sys.modules, 'wandb', module)
    monkeypatch.delenv('WANDB_PROJECT', raising=False)
    return calls


def test_everything_is_over_the_step_of_the_training(calls, tmp_path):
    folder = str(tmp_path / 'work' / '20260102_030405' / 'vis_data')
    backend = WandbBackend(folder, init_kwargs=dict(tags=['a']))
    backend.add_config(Config(dict(model=dict(type='Net'))))
    backend.add_scalars({'loss': 0.5}, step=3)
    backend.add_image('val_a', np.zeros((2, 3, 3), np.uint8), step=4)
    backend.add_scalar('mIoU', 60.0, step=4)
    backend.close()
    assert calls == [
        ('init', dict(project='deepunetto', name='work 20260102_030405', tags=['a'], dir=folder)),
        ('define', dict(name='*', step_metric='step')),
        ('config', dict(model=dict(type='Net'))),  # and no log_code, which would send all of the working directory
        ('log', dict(loss=0.5, step=3)),
        ('log', dict(val_a=('image', (2, 3, 3)), step=4)),
        ('log', dict(mIoU=60.0, step=4)),
        ('end',),
    ]


def test_the_project_is_that_of_the_environment(calls, tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_PROJECT', 'clothes')
    WandbBackend(str(tmp_path)).add_scalar('loss', 1.0)
    assert calls[0][1]['project'] == 'clothes'


def test_options_count_more_than_ours(calls, tmp_path):
    WandbBackend(str(tmp_path), init_kwargs=dict(project='x', name='y')).add_scalar('loss', 1.0)
    assert (calls[0][1]['project'], calls[0][1]['name']) == ('x', 'y')


def test_wandb_writes_a_run(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    backend = WandbBackend(str(tmp_path / 'work' / '20260102_030405' / 'vis_data'))
    backend.add_config(Config(dict(model=dict(type='Net'))))
    backend.add_image('val_a', np.zeros((2, 3, 3), np.uint8), step=4)
    backend.close()
    (written,) = tmp_path.rglob('*.wandb')
    assert b'work 20260102_030405' in written.read_bytes()
    assert list(tmp_path.rglob('val_a*.png'))
    assert not [path for path in tmp_path.rglob('code/*') if path.is_file()]
