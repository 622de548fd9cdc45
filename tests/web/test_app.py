"""The server: what it answers, and what it refuses."""

import cv2
import numpy as np
import pytest

pytest.importorskip('fastapi')

from fastapi.testclient import TestClient

from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.web import Gallery, Limits, make_app

HOME = 'http://127.0.0.1:8000'


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def client(model):
    return TestClient(make_app(Gallery(model, Limits(upload=20_000, pixels=5_000))), base_url=HOME)


@pytest.fixture
def send(client):
    return lambda content, name='a.png': client.post('/api/pictures', params=dict(name=name), content=content)


def test_what_was_predicted_is_shown(client, send, png, picture):
    answer = send(png(picture), 'Größe <b>.png')
    assert answer.status_code == 201
    found = answer.json()
    assert found.pop('seconds') >= 0
    assert found.pop('regions') == [
        dict(
            id=1,
            bbox=[1, 1, 3, 3],
            area=4,
            group='bead',
            score=0.5,
            fine_class='red bead',
            fine_score=0.75,
            top_k=[
                dict(fine_class='red bead', score=0.75),
                dict(fine_class='blue bead', score=0.25),
                dict(fine_class='rod', score=0.0),
            ],
            corrected=None,
            dropped=False,
        ),
        dict(
            id=2,
            bbox=[4, 4, 7, 5],
            area=3,
            group='rod',
            score=0.875,
            fine_class='rod',
            fine_score=1,
            top_k=[
                dict(fine_class='rod', score=1),
                dict(fine_class='red bead', score=0),
                dict(fine_class='blue bead', score=0),
            ],
            corrected=None,
            dropped=False,
        ),
    ]
    assert found == dict(id=1, name='Größe <b>.png', width=8, height=6, bits=16, notes=[])
    ids = np.frombuffer(client.get('/api/pictures/1/regions').content, '<u2').reshape(6, 8)
    assert ids.tolist() == (np.where(picture[..., 2] > 0, 1, 0) + np.where(picture[..., 1] > 0, 2, 0)).tolist()
    shown = client.get('/api/pictures/1/picture.png')
    assert shown.headers['content-type'] == 'image/png'
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR), picture)


def test_the_model_is_described_with_its_colours(client, model):
    found = client.get('/api/model').json()
    colours = [list(colour) for colour in model.names.fine_palette]
    assert found == dict(
        title='colours',
        groups=[
            dict(
                name='bead',
                colour=list(model.names.palette[1]),
                fine_classes=[dict(name='red bead', colour=colours[0]), dict(name='blue bead', colour=colours[1])],
            ),
            dict(name='rod', colour=list(model.names.palette[2]), fine_classes=[dict(name='rod', colour=colours[2])]),
        ],
        examples=False,
        review=False,
        largest=20_000,
    )


def test_corrections_stay_until_the_picture_is_removed(client, send, png, picture):
    send(png(picture))
    place = '/api/pictures/1/regions/1'
    found = client.patch(place, json=dict(fine_class='rod')).json()
    assert (found['corrected'], found['fine_class'], found['dropped']) == ('rod', 'red bead', False)
    assert client.patch(place, json=dict(fine_class='red bead')).json()['corrected'] is None
    client.patch(place, json=dict(fine_class='blue bead', dropped=True))
    (listed,) = client.get('/api/pictures').json()
    assert [(one['corrected'], one['dropped']) for one in listed['regions']] == [('blue bead', True), (None, False)]
    assert client.delete('/api/pictures/1').status_code == 204
    assert client.get('/api/pictures').json() == []
    for method, path in (('PATCH', place), ('GET', '/api/pictures/1/regions'), ('DELETE', '/api/pictures/1')):
        answer = client.request(method, path, json={})
        assert answer.status_code == 404
        assert 'no longer has this picture' in answer.json()['error']


@pytest.mark.parametrize(
    ('place', 'content', 'status'),
    [
        ('1/regions/1', dict(fine_class='bead'), 422),  # a group
        ('1/regions/9', dict(fine_class='rod'), 404),
        ('1/regions/1', dict(name='rod'), 422),
        ('1/regions/1', dict(dropped='perhaps'), 422),
        ('x/regions/1', dict(), 422),
    ],
)
def test_senseless_corrections_are_refused(client, send, png, picture, place, content, status):
    send(png(picture))
    assert client.patch(f'/api/pictures/{place}', json=content).status_code == status
    assert client.get('/api/pictures').json()[0]['regions'][0]['corrected'] is None


@pytest.mark.parametrize('suffix', ['.tiff', '.bmp', '.webp', '.pgm'])
def test_formats_that_browsers_do_not_show_come_back_as_png(client, send, png, suffix, picture):
    grey = picture.max(axis=2)
    assert send(png(grey, suffix), f'A{suffix.upper()}').status_code == 201
    shown = client.get('/api/pictures/1/picture.png').content
    assert shown[:4] == b'\x89PNG'
    assert (cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_GRAYSCALE) > 100).tolist() == (grey > 0).tolist()


def test_what_is_lost_of_a_file_is_said(send, png, picture):
    alpha = np.full((6, 8, 1), 255, np.uint8)
    alpha[0] = 0
    found = send(png(np.concatenate([picture, alpha], axis=2)), 'see-through.png').json()
    assert found['regions'][0]['fine_class'] == 'red bead'
    assert found['notes'][0].startswith('see-through.png: it has 4 bands')
    found = send(png(picture.astype(np.uint16) * 257), 'deep.png').json()
    assert found['regions'][0]['fine_class'] == 'red bead'
    assert found['notes'][0].startswith('deep.png: values of 16 bits')


def test_no_region_is_a_normal_answer(client, send, png):
    found = send(png(np.zeros((4, 5, 3), np.uint8))).json()
    assert (found['regions'], found['width']) == ([], 5)
    assert not any(client.get('/api/pictures/1/regions').content)
    assert client.get('/api/save/training').status_code == 200


@pytest.mark.parametrize(
    ('change', 'name', 'message'),
    [
        (lambda content: content, 'a.pdf', 'a.pdf is not a picture by its name'),
        (lambda content: content, 'png', 'png is not a picture by its name'),
        (lambda content: content[:-20], 'a.png', 'a.png: the file is truncated'),
        (lambda content: b'hello', 'a.png', 'a.png: not a picture'),
        (lambda content: b'', 'a.png', 'a.png: the file is truncated after 0 bytes'),
    ],
)
def test_what_is_no_picture_is_refused_in_words(client, send, png, picture, change, name, message):
    answer = send(change(png(picture)), name)
    assert answer.status_code == 422
    assert message in answer.json()['error']
    assert '/tmp' not in answer.json()['error']
    assert client.get('/api/pictures').json() == []


def test_what_is_too_large_is_refused(client, send, png):
    answer = send(png(np.zeros((50, 101, 3), np.uint8)))
    assert answer.status_code == 422
    assert 'a.png has 101x50 pixels; the page shows at most 0.005 million' in answer.json()['error']
    assert send(bytes(20_001)).status_code == 413
    # Without a length that is announced.
    assert send(iter([bytes(15_000)] * 2)).status_code == 413
    assert client.get('/api/pictures').json() == []


def test_a_full_page_asks_to_save(model, png, picture):
    content = png(picture)
    client = TestClient(make_app(Gallery(model, Limits(held=len(content)))), base_url=HOME)
    answers = [client.post('/api/pictures?name=a.png', content=content) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 507]
    assert 'save your work and remove some' in answers[1].json()['error']


def test_a_failing_network_is_an_answer_and_not_the_end(client, send, png, picture, model, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(model, 'predict', lambda picture: 1 / 0)
        answer = send(png(picture))
        assert (answer.status_code, answer.json()['error']) == (
            500,
            'a.png could not be predicted: division by zero',
        )
    assert send(png(picture)).status_code == 201


def test_more_regions_than_16_bits_hold_are_sent_with_32(client, send, png, picture, model, monkeypatch):
    found = model.predict(picture)
    found.region_map[found.region_map == 2] = 70_000
    found.regions['ids'][1] = 70_000
    monkeypatch.setattr(model, 'predict', lambda picture: found)
    assert send(png(picture)).json()['bits'] == 32
    ids = np.frombuffer(client.get('/api/pictures/1/regions').content, '<u4').reshape(6, 8)
    assert np.unique(ids).tolist() == [0, 1, 70_000]
    answer = client.get('/api/save/training')
    assert answer.status_code == 422
    assert 'above 65535' in answer.json()['error']


def test_other_pages_and_other_hosts_are_refused(client, send, png, picture):
    send(png(picture))
    own = dict(origin=HOME)
    for headers, status in (
        ({}, 200),
        (own, 200),
        ({**own, 'sec-fetch-site': 'same-origin'}, 200),
        (dict(origin='https://example.org'), 403),
        (dict(origin='null'), 403),
        (dict(origin='http://127.0.0.1:9000'), 403),
        ({'sec-fetch-site': 'cross-site'}, 403),
        ({'sec-fetch-site': 'same-site'}, 403),
        (dict(host='example.org:8000'), 400),  # a domain that was made to point here
        (dict(host='localhost:8000'), 200),
        (dict(host='localhost:8000', origin='http://localhost:8000'), 200),
        (dict(host='localhost:8000', **own), 403),
    ):
        assert client.get('/api/pictures', headers=headers).status_code == status, headers
        assert client.patch('/api/pictures/1/regions/1', headers=headers, json={}).status_code == status
    link = {'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate'}
    assert client.get('/', headers=link).status_code == 200
    assert client.get('/', headers={**link, 'sec-fetch-mode': 'cors'}).status_code == 403
    assert client.get('/api/save/json', headers=link).status_code == 403
    assert 'access-control-allow-origin' not in client.get('/api/pictures', headers=own).headers


def test_the_page_may_run_its_own_script_alone(client):
    pages = [client.get('/') for _ in range(2)]
    nonces = [page.text.partition('<script nonce="')[2].partition('"')[0] for page in pages]
    assert len(set(nonces)) == 2
    for page, nonce in zip(pages, nonces):
        assert len(nonce) > 20
        policy = page.headers['content-security-policy']
        assert policy.startswith(f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; ")
        assert 'unsafe' not in policy
        assert "frame-ancestors 'none'" in policy
        # No other tag may run, and nothing is fetched from elsewhere.
        assert page.text.count('<script') == page.text.count('<style') == 1
        assert '{nonce}' not in page.text
        assert 'https://' not in page.text
        assert page.headers['x-content-type-options'] == 'nosniff'
    assert "default-src 'none'" in client.get('/api/model').headers['content-security-policy']
    assert client.get('/docs').status_code == client.get('/openapi.json').status_code == 404


def test_examples_are_drawn_for_shapes_alone(client, model, monkeypatch):
    assert client.post('/api/examples').status_code == 404
    model.taxonomy = Taxonomy.from_dict(RodConeShapes.METAINFO['taxonomy'])
    regions = dict.fromkeys(('ids', 'labels', 'areas', 'scores', 'fine_labels'), np.zeros(0, np.int64))
    regions.update(bboxes=np.zeros((0, 4)), fine_scores=np.zeros((0, 12)))
    found = model.predict(np.zeros((128, 192, 3), np.uint8))
    found.regions = regions
    monkeypatch.setattr(model, 'predict', lambda picture: found)
    answer = TestClient(make_app(Gallery(model)), base_url=HOME).post('/api/examples')
    assert answer.status_code == 201
    assert (answer.json()['width'], answer.json()['height']) == (192, 128)


def test_examples_of_a_folder_come_one_after_the_other(model, tmp_path, png, picture):
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    for path in paths:
        path.write_bytes(png(picture))
    client = TestClient(make_app(Gallery(model), examples=paths), base_url=HOME)
    assert client.get('/api/model').json()['examples']
    assert [client.post('/api/examples').json()['name'] for _ in range(3)] == ['a.png', 'b.png', 'a.png']
    paths[1].write_bytes(b'no picture')
    answer = client.post('/api/examples')
    assert answer.status_code == 422
    assert 'b.png' in answer.json()['error']
    paths[0].unlink()
    answer = client.post('/api/examples')
    assert answer.status_code == 404
    assert answer.json()['error'] == f'{paths[0]} cannot be read: No such file or directory'
