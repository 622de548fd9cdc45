"""The command line of the page."""

import importlib.util
import sys

import pytest

uvicorn = pytest.importorskip('uvicorn')
pytest.importorskip('fastapi')


@pytest.fixture
def web(repository, monkeypatch):
    """Run demo/web.py in this process; returns what it would serve."""
    spec = importlib.util.spec_from_file_location('web', repository / 'demo' / 'web.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    served = []
    monkeypatch.setattr(uvicorn, 'run', lambda app, **options: served.append((app, options)))

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['web.py', *map(str, arguments), '--no-browser'])
        module.main()
        return served.pop()

    return run


def test_a_shipped_model_is_served_to_this_machine_alone(web, capsys):
    app, options = web('deepunetto_shapes', '--device', 'cpu', '--port', 8765)
    assert (options['host'], options['port']) == ('127.0.0.1', 8765)
    assert 'http://127.0.0.1:8765' in capsys.readouterr().out
    assert '/api/pictures' in {route.path for route in app.routes}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['config.py'], 'config.py is a config: name its checkpoint, too'),
        (['deepunetto_shape'], "no model 'deepunetto_shape'"),
        (['config.py', 'nowhere.pth'], 'no checkpoint at'),
    ],
)
def test_what_is_missing_is_one_line(web, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        web(*arguments)
    assert stopped.value.code == 1
    assert message in capsys.readouterr().err


def test_a_folder_must_be_an_exported_one(web, tmp_path, capsys):
    with pytest.raises(SystemExit):
        web(tmp_path)
    assert 'name the folder that tools/deployment/export.py wrote' in capsys.readouterr().err
