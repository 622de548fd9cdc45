"""Pretrained weights that a config takes from the internet."""

import os
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import urlparse

import torch
from mmengine.config import Config

from deepunetto_mm.utils.config_parts import type_name
from deepunetto_mm.utils.errors import UsageError, message_of

# Schemes of mmengine, and its functions that return tables of addresses.
_TABLES = {
    'torchvision://': 'get_torchvision_models',
    'modelzoo://': 'get_torchvision_models',
    'open-mmlab://': 'get_external_models',
    'openmmlab://': 'get_external_models',
    'mmcls://': 'get_mmcls_models',
}
_HUB = 'timm: '


def remote_weights(cfg: Config) -> dict[str, str]:
    """Where a config names weights that are not files, by key.

    Args:
        cfg: The config.

    Returns:
        Such as ``{'model.backbone.init_cfg.checkpoint': 'torchvision://resnet34'}``; a pretrained model of timm is
        ``'timm: NAME'``. ``load_from`` is among them.
    """
    found = dict(_search('model', cfg.get('model') or {}))
    if _is_remote(cfg.get('load_from')):
        found['load_from'] = cfg.load_from
    return found


def fetch_weights(cfg: Config) -> dict[str, str]:
    """Download the weights that a config names, unless they are there.

    Returns:
        File or cache of each, by key.

    Raises:
        UsageError: If one cannot be had; names the weights, the part, where the file may be put, and how to do without.
    """
    places = {}
    for key, name in remote_weights(cfg).items():
        try:
            places[key] = _fetch(name)
        except Exception as error:  # of urllib, of the hub of timm, of what is downloaded, or an unknown name
            raise UsageError(_advice(cfg, key, name, error)) from error
    return places


def cached_file(address: str) -> Path:
    """The file that mmengine looks for before it downloads weights."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(address).path).name


def _fetch(name: str) -> str:
    if name.startswith(_HUB):
        import timm  # optional

        timm.create_model(name.removeprefix(_HUB), pretrained=True)
        return 'in the cache of timm'
    file = cached_file(_address(name))
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(_address(name), str(file))
    return str(file)


def _address(name: str) -> str:
    """The URL of weights by a name of mmengine's; KeyError if there is none."""
    from mmengine.runner import checkpoint  # not for --help, which it would slow down

    for scheme, table in _TABLES.items():
        if name.startswith(scheme):
            model = name.removeprefix(scheme)
            return getattr(checkpoint, table)()[checkpoint.get_deprecated_model_names().get(model, model)]
    return name


def _advice(cfg: Config, key: str, name: str, error: Exception) -> str:
    part = key.rpartition('.')[0] if key.endswith('init_cfg.checkpoint') else key
    without = f'--cfg-options {part}={"False" if name.startswith(_HUB) else "None"}'
    begin = f'{key} is {name!r}, whose weights cannot be downloaded ({message_of(error)})'
    if isinstance(error, KeyError):
        return f'{key} is {name!r}, a name that mmengine has no weights for; correct it, or do without: {without}'
    command = f'python tools/misc/fetch_weights.py {cfg.filename}'
    if name.startswith(_HUB):
        cache = os.environ.get('HF_HOME') or '~/.cache/huggingface'
        return f'{begin}: run {command} where there is internet and copy {cache}; or do without: {without}'
    address = _address(name)
    return (
        f'{begin}: get {address} where there is internet ({command} does) and put it at {cached_file(address)}, or '
        f'name a copy: --cfg-options {key}=FILE; or do without: {without}'
    )


def _search(key: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        kind = type_name(node) if 'type' in node else ''
        for name, value in node.items():
            if name in ('checkpoint', 'pretrained') and _is_remote(value):
                yield f'{key}.{name}', value
            elif name == 'pretrained' and value is True and kind == 'TIMMBackbone':
                yield f'{key}.{name}', f'{_HUB}{node.get("model_name")}'
            else:
                yield from _search(f'{key}.{name}', value)
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from _search(f'{key}[{number}]', value)


def _is_remote(value: Any) -> bool:
    return isinstance(value, str) and value.startswith((*_TABLES, 'http://', 'https://'))
