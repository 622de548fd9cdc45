"""The command line of the page."""

import socket

import pytest

uvicorn = pytest.importorskip('uvicorn')
pytest.importorskip('fastapi')


@pytest.fixture
def web(in_process, monkeypatch):
    """Run demo/web.py; returns what it would serve, and where."""
    demo = in_process('demo/web.py')
    served = []

    def serve(server, sockets):
        served.append((server.config.app, sockets[0].getsockname()))
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, 'run', serve)

    def run(*arguments):
        demo(*arguments, '--no-browser')
        return served.pop()

    return run


def test_a_shipped_model_is_served_to_this_machine_alone(web, capsys):
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
        with pytest.raises(SystemExit):
            web('deepunetto_shapes', '--device', 'cpu', '--port', port)
        assert f'port {port} cannot be used' in capsys.readouterr().err
    app, place = web('deepunetto_shapes', '--device', 'cpu', '--port', port)
    assert place == ('127.0.0.1', port)
    assert f'http://127.0.0.1:{port}' in capsys.readouterr().out
    assert '/api/pictures' in {route.path for route in app.routes}
    _, (_, free) = web('deepunetto_shapes', '--device', 'cpu', '--port', 0)
    assert f'http://127.0.0.1:{free};' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['config.py'], 'config.py is a config: name its checkpoint, too'),
        (['deepunetto_shape'], "no model 'deepunetto_shape'"),
        (['config.py', 'nowhere.pth'], 'no checkpoint at'),
        (['config.py', 'nowhere.pth', '--hub', 'a/b'], '--hub is for a model by its name'),
        (['deepunetto_shapes', '--examples', 'nowhere'], '--examples nowhere is not a folder'),
        (['cells', '--hub', 'a/b'], "the hub is 'a/b', but must be"),
        (['deepunetto_shapes', '--trust-checkpoint'], '--trust-checkpoint is for CONFIG and CHECKPOINT'),
        (['deepunetto_shapes', '--device', 'cpu', '--port', '99999'], 'port 99999 cannot be used'),
        (['.', '--device', 'cpu'], '--device is not for an exported folder'),
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
