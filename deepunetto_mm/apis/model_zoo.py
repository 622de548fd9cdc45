"""Trained models by name: weights, and one JSON file that says how to build the network and where it comes from."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Iterator, Mapping, Optional, Sequence, Union

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.registry import registry as mmengine_registry
from mmseg.registry import MODELS

from deepunetto_mm.guards.checkpoint import read_checkpoint
from deepunetto_mm.utils.config_parts import dataset_parts
from deepunetto_mm.utils.errors import UsageError, message_of, suggest
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.utils.weight_files import decode_weights, encode_weights

from .deepunetto_inferencer import DeepUNettoInferencer

SHIPPED = Path(__file__).resolve().parents[1] / 'zoo'
FORMAT = 1  # of the JSON file
# Whose registered types an entry may name.
SCOPES = ('deepunetto_mm', 'mmseg', 'mmpretrain', 'mmengine')
_OF_PART = dict(model=('MODELS', 'TASK_UTILS'), pipeline=('TRANSFORMS',))
# Options by which a registered part reads weights from a file or from the network, and even code (of Hugging Face).
_FROM_ELSEWHERE = (
    'init_cfg', 'pretrained', 'trust_remote_code', 'checkpoint_path', 'name_or_path', 'pretrained_model_name_or_path'
)  # fmt: skip
_PINNED = re.compile(r'([\w.-]+/[\w.-]+)@([0-9a-f]{40})')


def load_model(
    model: Union[str, Path],
    folder: Union[str, Path] = 'models',
    device: Optional[str] = None,
    show_progress: bool = True,
    bf16: bool = False,
    hub: Optional[str] = None,
) -> DeepUNettoInferencer:
    """A trained model by its name, ready for pictures.

    ::

        inferencer = load_model('deepunetto_shapes')
        print(inferencer('picture.png')[0]['regions'])

    Nothing is downloaded, except from a ``hub`` that is named, and nothing in the files is executed: the weights are
    read only if they have the SHA-256 of the entry, and the entry may name registered types only. (mmengine imports and
    calls whatever a type names, such as ``subprocess.Popen``.)

    Args:
        model: Name of an entry, which is looked for in the package, then in ``folder``, and then on the ``hub``; or the
            path of an entry, ``NAME.json``, with its weights beside it.
        folder: A folder of entries, as ``tools/model_converters/publish_model.py`` writes them.
        device, show_progress, bf16: As of :class:`DeepUNettoInferencer`.
        hub: A repository on Hugging Face, or on the server of the environment variable ``HF_ENDPOINT``, at a commit:
            ``OWNER/REPOSITORY@COMMIT``. Files are downloaded once, to the cache of ``huggingface_hub``.

    Raises:
        UsageError: If there is no such model, or the hub does not answer.
        ValueError: If the entry is damaged, its weights are others, or it names a type that is not registered.
    """
    path = _find(str(model), Path(folder), hub)
    entry = _read_entry(path)
    weights = path.parent / Path(entry['weights']).name
    if not weights.is_file():
        raise UsageError(f'{path}: its weights {weights} are missing')
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry['sha256']:
        raise ValueError(f'{weights} does not have the SHA-256 that {path} names: it is damaged, or another file')
    state = decode_weights(content, weights)
    cfg = Config(dict(model=entry['model'], test_dataloader=dict(dataset=dict(pipeline=entry['pipeline']))))
    meta = dict(dataset_meta=dict(palette=entry['palette'], fine_palette=entry['fine_palette']))
    with _registered_types_only():
        for part, registries in _OF_PART.items():
            _require_registered(entry[part], registries, f'{path}: {part}')
        return DeepUNettoInferencer(cfg, dict(state_dict=state, meta=meta), device, show_progress, bf16=bf16)


def shipped_models() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.stem for path in SHIPPED.glob('*.json'))


def write_model(
    cfg: Config,
    checkpoint: Union[str, Path],
    folder: Union[str, Path],
    name: str,
    origin: Mapping[str, Any],
    trusted: bool = False,
    int8: bool = False,
) -> Path:
    """Write a trained model as an entry: its weights, and ``NAME.json``.

    Args:
        cfg: The config of the training.
        checkpoint: Its checkpoint, with weights of any type. What the network of the config does not have is left out,
            such as the weights of crops for a config without them, and the log says so.
        folder: Where to write. The same weights always get the same file name.
        name: Name of the model.
        origin: What is known about the training, as JSON: data, licence, figures.
        trusted: As of :func:`~deepunetto_mm.guards.checkpoint.read_checkpoint`.
        int8: Store large weights in 8 bits instead of in float16, as
            :func:`~deepunetto_mm.utils.weight_files.encode_weights` does.

    Returns:
        The path of the JSON file. It has been loaded once.

    Raises:
        UsageError: If the config has another default scope than mmseg, or the name is a path.
        ValueError: As of :func:`load_model`, such as for a class in the config that is not registered.
    """
    if cfg.get('default_scope') != 'mmseg':
        raise UsageError(f"default_scope is {cfg.get('default_scope')!r}, but entries have types of 'mmseg' by default")
    if Path(name).name != name:
        raise UsageError(f'{name!r} is not a name: it becomes NAME.json')
    contents = read_checkpoint(checkpoint, trusted)
    weights = encode_weights(_used(contents['state_dict'], cfg.model), int8)
    digest = hashlib.sha256(weights).hexdigest()
    meta = contents.get('meta', {})
    dataset = meta.get('dataset_meta') or {}
    pipeline = dataset_parts(cfg.test_dataloader.dataset)[0].get('pipeline', [])
    entry = dict(
        format=FORMAT,
        name=name,
        weights=f'{name}-{digest[:8]}.safetensors',
        sha256=digest,
        storage='int8' if int8 else 'float16',
        origin=dict(origin, seed=meta.get('seed'), iterations=meta.get('iter')),
        palette=dataset.get('palette'),
        fine_palette=dataset.get('fine_palette'),
        pipeline=_plain(pipeline),
        model=_plain(cfg.model),
    )
    text = json.dumps(entry, indent=1, ensure_ascii=False) + '\n'
    files = {entry['weights']: weights, f'{name}.json': text.encode()}
    # What cannot be loaded is not published, and replaces nothing.
    with TemporaryDirectory() as trial:
        for file, content in files.items():
            write_whole(Path(trial) / file, content)
        load_model(Path(trial) / f'{name}.json', device='cpu', show_progress=False)
    for file, content in files.items():
        write_whole(Path(folder) / file, content)
    return Path(folder) / f'{name}.json'


def _find(model: str, folder: Path, hub: Optional[str]) -> Path:
    pinned = _PINNED.fullmatch(hub or '')
    if hub is not None and not pinned:
        raise UsageError(
            f'the hub is {hub!r}, but must be OWNER/REPOSITORY@COMMIT with all 40 digits of the commit: a branch or a '
            'tag can name other files tomorrow'
        )
    candidates = [Path(model)] if model.endswith('.json') else [place / f'{model}.json' for place in (SHIPPED, folder)]
    for path in candidates:
        if path.is_file():
            return path
    if pinned and not model.endswith('.json'):
        return _download(model, *pinned.groups())
    known = {*shipped_models(), *(path.stem for path in folder.glob('*.json'))}
    raise UsageError(
        f'no model {model!r}: there is no {" and no ".join(map(str, candidates))}{suggest(model, known)}; '
        f'known are {", ".join(sorted(known))}'
    )


def _download(model: str, repository: str, commit: str) -> Path:
    """The entry in the cache of huggingface_hub, with its weights beside it."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UsageError('a model of a hub needs the package huggingface_hub: pip install huggingface_hub') from error

    def get(file: str) -> Path:
        try:
            return Path(hf_hub_download(repository, file, revision=commit))
        except Exception as error:  # of the network, of the server, of the cache
            raise UsageError(f'{file} of {repository} at {commit[:8]} cannot be had: {message_of(error)}') from error

    path = get(f'{model}.json')
    get(Path(_read_entry(path)['weights']).name)
    return path


def _read_entry(path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    wanted = ('weights', 'sha256', 'model', 'pipeline', 'palette', 'fine_palette')
    if not isinstance(entry, dict) or entry.get('format') != FORMAT or [key for key in wanted if key not in entry]:
        raise ValueError(f'{path} is not an entry of format {FORMAT}, which has {", ".join(wanted)}')
    return entry


@contextmanager
def _registered_types_only() -> Iterator[None]:
    """Without mmengine's last resort for a type that is not registered, which imports it by its dotted name."""
    plain = mmengine_registry.get_object_from_string
    mmengine_registry.get_object_from_string = lambda name: None
    try:
        yield
    finally:
        mmengine_registry.get_object_from_string = plain


def _require_registered(part: Any, registries: Sequence[str], place: str) -> None:
    if isinstance(part, list):
        for index, item in enumerate(part):
            _require_registered(item, registries, f'{place}[{index}]')
    if not isinstance(part, dict):
        return
    for key in _FROM_ELSEWHERE:
        if part.get(key):
            raise ValueError(f'{place}.{key} is {part[key]!r}: an entry reads nothing but its own weights')
    # timm takes hf-hub:OWNER/NAME and local-dir:FOLDER for names of models; the other reads a config by any name.
    name = part.get('model_name')
    if (isinstance(name, str) and re.search('[:/]', name)) or 'HuggingFace' in str(part.get('type')):
        raise ValueError(f'{place} names {name!r}, which is elsewhere: an entry reads nothing but its own weights')
    if part.get('_scope_', SCOPES[0]) not in SCOPES:
        raise ValueError(f'{place}._scope_ is {part["_scope_"]!r}: only {", ".join(SCOPES)} are allowed')
    if 'type' in part and not _is_registered(part['type'], registries):
        raise ValueError(
            f'{place}.type is {part["type"]!r}, which is not registered: only registered types of '
            f'{", ".join(SCOPES)} are allowed, because any other name would be imported and called'
        )
    for key, value in part.items():
        _require_registered(value, registries, f'{place}.{key}')


def _is_registered(kind: Any, registries: Sequence[str]) -> bool:
    """Whether a type is in one of the registries; one without a scope, of any scope."""
    if not isinstance(kind, str):
        return False
    scope, _, name = kind.rpartition('.')
    if scope and scope not in SCOPES:
        return False
    modules = [import_module(f'{each}.registry') for each in ([scope] if scope else SCOPES)]
    found = (getattr(module, registry, None) for module in modules for registry in registries)
    return any(registry.get(name) is not None for registry in found if registry is not None)


def _used(state: Mapping[str, torch.Tensor], model: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights that the network of a config has."""
    init_default_scope('mmseg')
    unused = set(MODELS.build(_plain(model)).load_state_dict(state, strict=False).unexpected_keys)
    if unused:
        parts = ', '.join(sorted({key.partition('.')[0] for key in unused}))
        print_log(
            f'left out, since the network of the config does not have them: {len(unused)} tensors of {parts}',
            'current',
            logging.WARNING,
        )
    return {key: value for key, value in state.items() if key not in unused}


def _plain(part: Any) -> Any:
    """As JSON, without options that would read other weights: a trained network does not need them.

    Classes and functions, which are the types of configs in pure Python, become names.
    """
    if isinstance(part, Mapping):
        return {key: _plain(value) for key, value in part.items() if key not in _FROM_ELSEWHERE}
    if isinstance(part, (list, tuple)):
        return [_plain(item) for item in part]
    return _registered_name(part) if callable(part) else part


def _registered_name(kind: Any) -> str:
    """The name of a type in the registries, with its scope; of another one its dotted name, which no entry may have."""
    for scope in reversed(SCOPES):  # mmengine first: mmpretrain registers mmcv's transforms a second time
        module = import_module(f'{scope}.registry')
        for registry in (getattr(module, name, None) for names in _OF_PART.values() for name in names):
            for name, registered in registry.module_dict.items() if registry is not None else ():
                if registered is kind:
                    return f'{scope}.{name}'
    return f'{kind.__module__}.{kind.__qualname__}'
