"""docs/deployment.md: its example in Python and its server, with a tiny network in the folder `exported`."""

import ast
import json
import os
import subprocess
import sys
from http.client import HTTPConnection

import cv2
import numpy as np
import pytest

from deepunetto_mm.runtime import OnnxPredictor

pytest.importorskip('onnxscript')
pytest.importorskip('onnxruntime')

PAGE = 'docs/deployment.md'
# The page's program, but on a free port of this machine alone, which it prints.
_ON_A_FREE_PORT = """
import http.server, runpy

class Server(http.server.ThreadingHTTPServer):
    def __init__(self, address, handler):
        super().__init__(('127.0.0.1', 0), handler)
        print(self.server_port, flush=True)

http.server.ThreadingHTTPServer = Server
runpy.run_path('server.py')
"""


def test_the_example_prints_what_the_inferencer_finds(
    example, exported, inferencer, folder_of_pictures, tmp_path, monkeypatch, capsys
):
    (tmp_path / 'exported').symlink_to(exported)
    (tmp_path / 'pictures').symlink_to(folder_of_pictures)
    monkeypatch.chdir(tmp_path)
    exec(example(PAGE, "predictor('pictures/')"), {})
    printed = [line.partition(' ') for line in capsys.readouterr().out.splitlines()]
    expected = inferencer('pictures')
    assert [picture for picture, _, _ in printed] == [result['picture'] for result in expected]
    for (_, _, regions), result in zip(printed, expected):
        names, scores = ([pair[i] for pair in ast.literal_eval(regions)] for i in (0, 1))
        assert names == [region['fine_class'] for region in result['regions']]
        # Scores are rounded to four digits, so that the last one may differ.
        assert scores == pytest.approx([region['fine_score'] for region in result['regions']], abs=1.01e-4)


@pytest.fixture
def post(example, exported, repository, tmp_path):
    """Send bytes to the server of the page, which runs in a process of its own: status and JSON of its answer."""
    (tmp_path / 'exported').symlink_to(exported)
    (tmp_path / 'server.py').write_text(example(PAGE, 'ThreadingHTTPServer'))
    environment = dict(os.environ, PYTHONPATH=str(repository))
    command = [sys.executable, '-c', _ON_A_FREE_PORT]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())

        def send(body, **headers):
            connection = HTTPConnection('127.0.0.1', port, timeout=60)
            connection.request('POST', '/', body, headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            connection.close()
            return answer.status, content

        yield send
        process.kill()


def test_the_server_answers_with_regions_and_refuses_the_rest(post, exported, folder_of_pictures):
    pictures = [folder_of_pictures / name for name in ('1.png', 'nothing.png')]
    expected = OnnxPredictor(exported)([cv2.imread(str(picture)) for picture in pictures])
    assert len(expected[0]['regions']) > 3
    for picture, result in zip(pictures, expected):
        answer = dict(json.loads(json.dumps(result)), picture='array_0000')  # one picture a request
        assert post(picture.read_bytes()) == (200, answer)

    many_pixels = cv2.imencode('.png', np.zeros((5001, 5000), np.uint8))[1].tobytes()
    assert len(many_pixels) < 100_000
    for unreadable in (b'no picture', pictures[0].read_bytes()[:20], many_pixels):
        assert post(unreadable) == (415, dict(error='not a picture, or of too many pixels: send PNG or JPEG'))
    for headers in ({}, {'Content-Length': '20000001'}):  # refused before it is read
        assert post(None, **headers) == (413, dict(error='send a picture of 1 to 20000000 bytes'))
    assert post(pictures[0].read_bytes())[0] == 200
