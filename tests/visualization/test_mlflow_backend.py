"""What is written to MLflow: with its own database where it is installed, and with a client that notes the calls."""

import atexit
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from deepunetto_mm.visualization import MLflowBackend

CONFIG = Config(dict(model=dict(type='Net', sizes=[1, 2]), pipeline=[dict(type='Load'), dict(type='Pack')], empty={}))
PARAMS = {
    'model.type': 'Net',
    'model.sizes': '[1, 2]',
    'pipeline.0.type': 'Load',
    'pipeline.1.type': 'Pack',
    'empty': '{}',
}
PICTURE = np.zeros((2, 3, 3), np.uint8)


@pytest.fixture
def backend(tmp_path, monkeypatch):
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    backend = MLflowBackend(str(tmp_path / 'work' / '20260102_030405' / 'vis_data'))
    yield backend
    atexit.unregister(backend._end)


def _write(backend):
    backend.add_config(CONFIG)
    backend.add_scalars({'loss': torch.tensor(0.5), 'fine/recall/t-shirt #1': 1}, step=3)
    backend.add_scalar('loss', 0.25, step=4)
    backend.add_image('val_a', PICTURE, step=4)
    backend.close()


class RefusedError(Exception):
    """Of MLflow."""


@pytest.fixture
def calls(monkeypatch):
    """The calls of a client without MLflow."""
    calls = []

    class Client:
        def __init__(self, uri):
            calls.append(('client', uri))

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name, artifacts):
            calls.append(('experiment', name, artifacts))
            return '7'

        def create_run(self, experiment, run_name):
            calls.append(('run', experiment, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id='r'))

        def log_text(self, run, text, file):
            calls.append((run, file, text))

        def log_batch(self, run, metrics=(), params=()):
            if any(metric[0] == 'refused' for metric in metrics):
                raise RefusedError('no such name')
            calls.append((run, [(*metric[:2], metric[3]) for metric in metrics], list(params)))

        def log_image(self, run, image, key, step):
            calls.append((run, key, image.shape, step))

        def set_terminated(self, run, status):
            calls.append((run, status))

    modules = {name: ModuleType(name) for name in ('mlflow', 'mlflow.entities', 'mlflow.exceptions')}
    modules['mlflow'].MlflowClient = Client
    modules['mlflow.entities'].Metric = modules['mlflow.entities'].Param = lambda *fields: fields
    modules['mlflow.exceptions'].MlflowException = RefusedError
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_what_the_client_is_asked(backend, calls, tmp_path):
    work = tmp_path / 'work'
    _write(backend)
    assert calls == [
        ('client', f'sqlite:///{work}/mlflow.db'),
        ('experiment', 'work', (work / 'mlflow').as_uri()),
        ('run', '7', '20260102_030405'),
        ('r', 'config.py', CONFIG.pretty_text),
        ('r', [], list(PARAMS.items())),
        ('r', [('loss', 0.5, 3), ('fine/recall/t-shirt _1', 1.0, 3)], []),
        ('r', [('loss', 0.25, 4)], []),
        ('r', 'val_a', (2, 3, 3), 4),
        ('r', 'FINISHED'),
    ]


def test_a_run_that_is_not_finished_has_failed(backend, calls, monkeypatch):
    monkeypatch.setattr(atexit, 'register', lambda function, status: calls.append((function, status)))
    backend.add_scalar('loss', 1.0)
    (end,) = [call for call in calls if call[0] == backend._end]
    end[0](end[1])
    assert calls[-1] == ('r', 'FAILED')


def test_many_parameters_and_other_places(backend, calls, monkeypatch):
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'https://runs')
    backend.add_config(
        Config(dict(classes=[[index] for index in range(150)], note='a' * 9000), format_python_code=False)
    )
    assert calls[:2] == [('client', 'https://runs'), ('experiment', 'work', None)]
    assert [len(call[2]) for call in calls[4:]] == [100, 51]
    assert calls[-1][2][-1] == ('note', 'a' * 6000)


def test_an_error_of_the_server_does_not_end_the_run(backend, calls):
    backend.add_scalars({'refused': 1.0})
    backend.add_scalars({'loss': 1.0})
    assert calls[-1] == ('r', [('loss', 1.0, 0)], [])


@pytest.mark.parametrize(('name', 'allowed'), [('IoU/a//b/', 'IoU/a/b'), ('../x', 'x'), ('%', '_'), ('a/.', 'a')])
def test_names_are_paths_that_mlflow_accepts(backend, calls, name, allowed):
    backend.add_scalar(name, 1)
    assert calls[-1][1][0][0] == allowed


def test_nothing_is_written_if_nothing_is_logged(backend, tmp_path):
    backend.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings('ignore')
def test_mlflow_reads_it(backend, tmp_path):
    mlflow = pytest.importorskip('mlflow')
    pytest.importorskip('sqlalchemy')  # mlflow-skinny has no database
    _write(backend)
    client = mlflow.MlflowClient(f'sqlite:///{tmp_path / "work" / "mlflow.db"}')
    (run,) = client.search_runs([client.get_experiment_by_name('work').experiment_id])
    assert run.info.run_name == '20260102_030405'
    assert run.info.status == 'FINISHED'
    assert run.data.params == PARAMS
    assert [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, 'loss')] == [
        (3, 0.5),
        (4, 0.25),
    ]
    assert run.data.metrics['fine/recall/t-shirt _1'] == 1
    files = {path.name for path in (tmp_path / 'work' / 'mlflow').rglob('*') if path.is_file()}
    assert 'config.py' in files
    assert any(name.startswith('val_a') and name.endswith('.png') for name in files)
