"""Weights from the internet are found in a config, fetched beforehand, and explained where there is none."""

from urllib.error import URLError

import pytest
import torch
from mmengine.config import Config

from deepunetto_mm.utils import remote_weights
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.remote_weights import fetch_weights

ADDRESS = 'https://weights.example/a-1234.pth'
OFFLINE = URLError(OSError(-2, 'Name or service not known'))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; what is downloaded has the address as its content."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    fetched = []

    def download(address, file):
        fetched.append(address)
        with open(file, 'w') as opened:
            opened.write(address)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    return fetched


def _config(**model):
    return Config(dict(model=model), filename=None)


def _pretrained(checkpoint):
    return dict(type='ResNet', init_cfg=dict(type='Pretrained', checkpoint=checkpoint))


def test_weights_are_found_wherever_a_config_names_them():
    cfg = _config(
        backbone=dict(type='LuminanceBackbone', backbone=_pretrained('torchvision://resnet34')),
        auxiliary_head=[dict(type='FCNHead'), _pretrained(ADDRESS)],
        fine_backbone=dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', pretrained=True),
        neck=_pretrained('local/file.pth'),
        pretrained='open-mmlab://resnet50_v1c',
        data_preprocessor=None,
    )
    cfg.load_from = ADDRESS
    assert remote_weights.remote_weights(cfg) == {
        'model.backbone.backbone.init_cfg.checkpoint': 'torchvision://resnet34',
        'model.auxiliary_head[1].init_cfg.checkpoint': ADDRESS,
        'model.fine_backbone.pretrained': 'timm: resnet18',
        'model.pretrained': 'open-mmlab://resnet50_v1c',
        'load_from': ADDRESS,
    }
    assert remote_weights.remote_weights(Config(dict(load_from=None))) == {}


def test_they_are_fetched_once_to_where_mmengine_looks(cache, tmp_path):
    cfg = _config(backbone=_pretrained('torchvision://resnet34'), neck=_pretrained(ADDRESS))
    places = fetch_weights(cfg)
    assert places['model.neck.init_cfg.checkpoint'] == str(tmp_path / 'hub/checkpoints/a-1234.pth')
    assert fetch_weights(cfg) == places
    assert len(cache) == 2
    assert cache[0].startswith('https://download.pytorch.org/models/resnet34-')


def test_without_internet_the_error_says_which_and_what_to_do(cache, tmp_path, monkeypatch):
    def fail(*_):
        raise OFFLINE

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    with pytest.raises(UsageError) as raised:
        fetch_weights(_config(backbone=_pretrained(ADDRESS)))
    for part in (
        f"model.backbone.init_cfg.checkpoint is '{ADDRESS}', whose weights cannot be downloaded (<urlopen error",
        'tools/misc/fetch_weights.py',
        f'put it at {tmp_path}/hub/checkpoints/a-1234.pth',
        '--cfg-options model.backbone.init_cfg.checkpoint=FILE',
        'do without: --cfg-options model.backbone.init_cfg=None',
    ):
        assert part in str(raised.value)


def test_weights_of_timm_and_unknown_names(monkeypatch):
    timm = pytest.importorskip('timm')

    def fail(*_, **__):
        raise OFFLINE

    monkeypatch.setattr(timm, 'create_model', fail)
    cfg = _config(fine_backbone=dict(type='TIMMBackbone', model_name='resnet18', pretrained=True))
    with pytest.raises(UsageError, match='do without: --cfg-options model.fine_backbone.pretrained=False'):
        fetch_weights(cfg)
    with pytest.raises(UsageError, match='a name that mmengine has no weights for'):
        fetch_weights(_config(backbone=_pretrained('torchvision://resnet43')))
