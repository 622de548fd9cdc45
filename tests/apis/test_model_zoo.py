"""Models by name: what is shipped, what is written is what is read, and nothing in an entry is executed."""

import copy
import hashlib
import json
import re
import shutil
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from deepunetto_mm.apis import load_model, model_zoo, read_checkpoint
from deepunetto_mm.apis.model_zoo import shipped_models, write_model
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.models.fine import FineGrainedHead
from deepunetto_mm.utils.errors import UsageError


@pytest.fixture(scope='module')
def cfg(repository):
    return Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')


@pytest.fixture(scope='module')
def published(cfg, tmp_path_factory):
    """A model with random weights: its checkpoint, and the folder of its entry."""
    folder = tmp_path_factory.mktemp('models')
    state = MODELS.build(dict(cfg.model, _scope_='mmseg')).state_dict()
    state['decode_head.conv_seg.bias'][0] = 1e6  # more than float16 has
    meta = dict(seed=7, iter=2, dataset_meta=dict(palette=[[1, 2, 3]] * 4, fine_palette=[[4, 5, 6]] * 12))
    torch.save(dict(state_dict=state, meta=meta), folder / 'checkpoint.pth')
    write_model(cfg, folder / 'checkpoint.pth', folder, 'tiny', dict(data='scenes', licence='CC0-1.0'))
    return folder


@pytest.fixture
def entry(published, tmp_path):
    """A copy of the entry to change: ``change(**values)`` gives its path."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    path = tmp_path / 'tiny.json'

    def change(**values):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return path

    return change


def test_what_is_written_is_what_is_read(published):
    original = torch.load(published / 'checkpoint.pth', weights_only=True)['state_dict']
    (weights,) = published.glob('tiny-*.safetensors')
    loaded = read_checkpoint(weights)['state_dict']
    assert loaded.keys() == original.keys()
    for key, value in original.items():
        half = value.is_floating_point() and key != 'decode_head.conv_seg.bias'
        assert torch.equal(loaded[key], value.half() if half else value), key
    model = load_model('tiny', published, device='cpu', show_progress=False)
    assert model.visualizer.dataset_meta['palette'] == [[1, 2, 3]] * 4
    assert len(model(RodConeShapes(num_scenes=1, seed=0, size=(64, 64))[0]['img'])) == 1
    entry = json.loads((published / 'tiny.json').read_text())
    assert entry['storage'] == 'float16'
    assert entry['origin'] == dict(data='scenes', licence='CC0-1.0', seed=7, iterations=2)


def test_weights_in_8_bits(cfg, published, tmp_path):
    entry = json.loads(write_model(cfg, published / 'checkpoint.pth', tmp_path, 'tiny', {}, int8=True).read_text())
    stored = safetensors.torch.load((tmp_path / entry['weights']).read_bytes())
    assert (entry['storage'], stored['decode_head.conv_seg.bias'].dtype) == ('int8', torch.float32)
    packed = {key.removesuffix('..int8') for key, tensor in stored.items() if tensor.dtype == torch.int8}
    original = torch.load(published / 'checkpoint.pth', weights_only=True)['state_dict']
    loaded = read_checkpoint(tmp_path / entry['weights'])['state_dict']  # as tools/test.py does
    assert loaded.keys() == original.keys()
    for key in packed:
        error, largest = (item.flatten(1).abs().amax(1) for item in (loaded[key] - original[key], original[key]))
        assert (error <= 0.5001 / 127 * largest).all(), key
    # The inferencer merges the convolutions of the encoder and the decoder with what follows them.
    network = load_model('tiny', tmp_path, device='cpu', show_progress=False).model.state_dict()
    cones = [key for key in packed if key.startswith('fine_branch.')]
    assert len(cones) == 4
    assert all(torch.equal(network[key], loaded[key]) for key in cones)


def test_the_same_weights_have_the_same_name(cfg, published, tmp_path):
    path = write_model(cfg, published / 'checkpoint.pth', tmp_path, 'tiny', {})
    first, again = (json.loads(file.read_text()) for file in (published / 'tiny.json', path))
    assert first['weights'] == again['weights']
    assert re.fullmatch(r'tiny-[0-9a-f]{8}\.safetensors', again['weights'])
    assert first['sha256'] == again['sha256']


def test_weights_of_parts_that_the_config_removes_are_left_out(cfg, tmp_path, monkeypatch):
    both, maps = Config(cfg.to_dict()), Config(cfg.to_dict())
    heads = dict(names=dict(type='deepunetto_mm.FineMapHead', in_channels=[64], in_index=(3,)))
    both.model.update(dense_heads=heads, region_names='names.logits')
    maps.model.update(both.model, crop_neck=None, fine_backbone=None, fine_head=None)
    state = MODELS.build(dict(both.model, _scope_='mmseg')).state_dict()
    torch.save(state, tmp_path / 'both.pth')
    said = []
    monkeypatch.setattr(model_zoo, 'print_log', lambda message, *options: said.append(message))
    entry = json.loads(write_model(maps, tmp_path / 'both.pth', tmp_path, 'maps', {}).read_text())
    kept = set(read_checkpoint(tmp_path / entry['weights'])['state_dict'])
    assert kept == {key for key in state if not key.startswith('fine_branch.')} < set(state)
    assert said == [
        f'left out, since the network of the config does not have them: {len(state) - len(kept)} tensors of fine_branch'
    ]


def test_no_config_of_another_scope_and_no_path_as_a_name(cfg, published, tmp_path):
    other = Config(dict(cfg, default_scope='mmpretrain'))
    with pytest.raises(UsageError, match="default_scope is 'mmpretrain'"):
        write_model(other, published / 'checkpoint.pth', tmp_path, 'tiny', {})
    with pytest.raises(UsageError, match=r"'\.\./tiny' is not a name"):
        write_model(cfg, published / 'checkpoint.pth', tmp_path, '../tiny', {})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_loaded_is_not_published(cfg, published, tmp_path):
    wrong = copy.deepcopy(cfg)
    wrong.test_dataloader.dataset.pipeline = [dict(type='NoSuchTransform')]
    with pytest.raises(ValueError, match='NoSuchTransform'):
        write_model(wrong, published / 'checkpoint.pth', tmp_path, 'tiny', {})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def lazy(repository, tmp_path):
    """A config whose types are classes, and the checkpoint of its network."""
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'lazy_config.py')
    cfg.model.decode_head.norm_cfg.type = torch.nn.BatchNorm2d  # registered under another name
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'lazy.pth')
    return cfg, tmp_path / 'lazy.pth'


def test_types_that_are_classes_are_written_by_their_names(lazy, tmp_path):
    entry = json.loads(write_model(*lazy, tmp_path, 'lazy', {}).read_text())
    model = entry['model']
    assert model['type'] == 'deepunetto_mm.DeepUNetto'
    assert model['backbone']['type'] == 'mmpretrain.ResNet_CIFAR'
    assert model['decode_head']['loss_decode']['type'] == 'mmseg.CrossEntropyLoss'
    assert model['decode_head']['norm_cfg']['type'] == 'mmengine.BN'
    assert entry['pipeline'] == [dict(type='mmengine.LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
    loaded = load_model('lazy', tmp_path, device='cpu', show_progress=False)
    assert type(loaded.model).__name__ == 'DeepUNetto'
    (result,) = loaded(RodConeShapes(num_scenes=1, seed=0, size=(64, 64))[0]['img'])
    assert result['width'] == 64


class OwnHead(FineGrainedHead):
    """A class that nobody registers."""


def test_a_class_that_is_not_registered_is_named(lazy, tmp_path):
    cfg, checkpoint = lazy
    cfg.model.fine_head.type = OwnHead
    with pytest.raises(ValueError, match=r"model\.fine_head\.type is '\S+\.OwnHead', which is not registered"):
        write_model(cfg, checkpoint, tmp_path, 'lazy', {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ['lazy.pth']


def test_an_unknown_name_is_compared_with_the_known_ones(published):
    with pytest.raises(
        UsageError, match=rf"no model 'tinny'.*\(there is 'tiny'\); known are {', '.join(shipped_models())}, tiny"
    ):
        load_model('tinny', published)


COMMIT = '0123456789' * 4


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    """A server of one repository at one commit: the files in it, and the paths that it was asked for."""
    client = pytest.importorskip('huggingface_hub')
    files = {path.name: path.read_bytes() for path in published.glob('tiny*')}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f'{self.command} {self.path}')
            content = files.get(self.path.removeprefix(f'/team/models/resolve/{COMMIT}/'))
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header('X-Error-Code', 'EntryNotFound')
            self.send_header('X-Repo-Commit', COMMIT)
            self.send_header('ETag', hashlib.sha256(content or b'').hexdigest())
            self.send_header('Content-Length', str(len(content or b'')))
            self.end_headers()
            if self.command == 'GET':
                self.wfile.write(content or b'')

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *text):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    place = dict(endpoint=f'http://127.0.0.1:{server.server_port}', cache_dir=tmp_path / 'cache')
    monkeypatch.setattr(client, 'hf_hub_download', partial(client.hf_hub_download, **place))
    yield SimpleNamespace(files=files, asked=asked)
    server.shutdown()
    thread.join()
    server.server_close()


def _load(name, folder, hub=f'team/models@{COMMIT}'):
    return load_model(name, folder, device='cpu', show_progress=False, hub=hub)


def test_a_hub_is_asked_once_for_what_is_nowhere_else(hub, published, tmp_path):
    _load('tiny', published)
    assert hub.asked == []
    with pytest.raises(UsageError, match="no model 'tiny'"):
        _load('tiny', tmp_path, hub=None)
    assert hub.asked == []
    model = _load('tiny', tmp_path)
    assert model.visualizer.dataset_meta['palette'] == [[1, 2, 3]] * 4
    assert {path.rpartition('/')[0].partition(' ')[2] for path in hub.asked} == {f'/team/models/resolve/{COMMIT}'}
    assert {path.rpartition('/')[2] for path in hub.asked} == set(hub.files)
    number = len(hub.asked)
    _load('tiny', tmp_path)
    assert len(hub.asked) == number


def test_weights_of_a_hub_are_those_of_its_entry(hub, tmp_path):
    (weights,) = (name for name in hub.files if name.endswith('.safetensors'))
    hub.files[weights] = hub.files[weights][:-1] + b'x'
    with pytest.raises(ValueError, match=rf'{weights} does not have the SHA-256'):
        _load('tiny', tmp_path)


def test_what_a_hub_does_not_have(hub, tmp_path):
    with pytest.raises(UsageError, match=r'other\.json of team/models at 01234567 cannot be had: .*404'):
        _load('other', tmp_path)
    with pytest.raises(UsageError, match=r'no model \S+other\.json'):
        _load(str(tmp_path / 'other.json'), tmp_path)


@pytest.mark.parametrize(
    'name', ['team/models', 'team/models@main', f'models@{COMMIT}', f'team/models@{COMMIT[:12]}', '']
)
def test_a_hub_is_pinned(name):
    with pytest.raises(UsageError, match='must be OWNER/REPOSITORY@COMMIT'):
        _load('deepunetto_shapes', 'models', name)


def test_a_hub_needs_its_client(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(UsageError, match='pip install huggingface_hub'):
        _load('tiny', tmp_path)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(sha256='0' * 64), r'tiny-\w{8}\.safetensors does not have the SHA-256'),
        (dict(weights='other.safetensors'), r'its weights \S+other\.safetensors are missing'),
        (dict(weights='../../hosts'), r'its weights \S+2/hosts are missing'),  # beside the entry, and nowhere else
        (dict(format=2), 'is not an entry of format 1'),
    ],
)
def test_a_damaged_entry_is_an_error(entry, changed, message):
    path = entry(**changed)
    with pytest.raises(ValueError, match=message):
        load_model(path)


def test_text_that_is_not_json_and_weights_that_are_no_tensors(entry):
    path = entry(sha256=hashlib.sha256(b'weights').hexdigest(), weights='w.safetensors')
    (path.parent / 'w.safetensors').write_bytes(b'weights')
    with pytest.raises(ValueError, match=r'w\.safetensors is not a file of safetensors'):
        load_model(path)
    path.write_text('{')
    with pytest.raises(ValueError, match=r'tiny\.json is not JSON'):
        load_model(path)


@pytest.fixture
def program(tmp_path):
    """A config that runs a program where mmengine builds it, and the file that this would make."""
    file = tmp_path / 'ran'
    return dict(type='subprocess.Popen', args=['touch', str(file)]), file


def test_mmengine_runs_a_program(program):
    MODELS.build(program[0]).wait()
    assert program[1].exists()  # otherwise the tests below prove nothing


def _inside(place, part, cfg):
    """The parts of an entry, with one of them replaced."""
    whole = json.loads(json.dumps(dict(model=cfg.model.to_dict(), pipeline=[dict(type='LoadImageFromFile')])))
    node = whole
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = part
    return whole


@pytest.mark.parametrize(
    ('place', 'words'),
    [
        (('model',), 'model'),
        (('model', 'backbone', 'backbone'), 'model.backbone.backbone'),
        (('model', 'decode_head', 'loss_decode'), 'model.decode_head.loss_decode'),
        (('model', 'decode_head', 'loss_decode', 1), 'model.decode_head.loss_decode[1]'),
        (('pipeline', 0), 'pipeline[0]'),
    ],
)
def test_a_program_is_refused_wherever_it_is_named(entry, cfg, program, place, words):
    path = entry(**_inside(place, program[0], cfg))
    with pytest.raises(ValueError) as refused:
        load_model(path)
    assert str(refused.value) == (
        f"{path}: {words}.type is 'subprocess.Popen', which is not registered: only registered types of deepunetto_mm, "
        'mmseg, mmpretrain, mmengine are allowed, because any other name would be imported and called'
    )
    assert not program[1].exists()


@pytest.mark.parametrize(
    'kind', ['mmengine.utils.check_file_exist', 'mmseg.os.system', 'LoadImageFromFile', 'no_such.DeepUNetto', 3, None]
)
def test_only_registered_types_of_the_same_kind(entry, cfg, kind):
    path = entry(**_inside(('model', 'fine_backbone'), dict(type=kind), cfg))
    with pytest.raises(ValueError, match=rf'model\.fine_backbone\.type is {kind!r}, which is not registered'):
        load_model(path)


def test_what_is_looked_up_elsewhere_is_not_imported_either(entry, cfg):
    # Registered, as a sampler of pixels; as a backbone mmengine would import it.
    path = entry(**_inside(('model', 'fine_backbone'), dict(type='mmseg.OHEMPixelSampler'), cfg))
    with pytest.raises((KeyError, ValueError), match='OHEMPixelSampler'):
        load_model(path)


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        (
            'init_cfg',
            dict(type='Pretrained', checkpoint='http://nowhere/a.pth'),
            'an entry reads nothing but its own weights',
        ),
        ('pretrained', True, r'fine_backbone\.pretrained is True'),
        ('trust_remote_code', True, r'fine_backbone\.trust_remote_code is True'),
        ('checkpoint_path', '/a.pth', r"fine_backbone\.checkpoint_path is '/a\.pth'"),
        ('model_name', 'hf-hub:a/b', "fine_backbone names 'hf-hub:a/b', which is elsewhere"),
        ('_scope_', 'os', r"fine_backbone\._scope_ is 'os': only deepunetto_mm, mmseg"),
    ],
)
def test_no_other_weights_and_no_other_scope(entry, cfg, option, value, message):
    path = entry(**_inside(('model', 'fine_backbone', option), value, cfg))
    with pytest.raises(ValueError, match=message):
        load_model(path)
