"""Going on from a trained network, though the classes are others: what of it fits is kept."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from deepunetto_mm.guards.checkpoint import read_checkpoint
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_whole
from deepunetto_mm.utils.shared_kernels import fill_in_shared

# Parameters with a row for each class, by the attribute of the taxonomy that lists the classes.
_ROWS = {
    'classes': re.compile(r'decode_head\.conv_seg\.'),
    'fine_classes': re.compile(r'fine_branch\.fine_head\.fc\.|dense_heads\.names\.classifier\.'),
}
_STAMP = 'taxonomy_stamp.code'
_PARTS = dict(backbone='encoder', decode_head='decoder', dense_heads='dense heads', fine_branch='crops of objects')


@dataclass
class TrainedNetwork:
    """A network of a checkpoint.

    Attributes:
        path: The file.
        state: Its parameters.
        taxonomy: Of its training.
        encoder: ``'efficientnet-lite0'`` or ``'scratch'``.
        luminance: Whether its segmentation sees brightness only.
        names: ``'crops'``, ``'map'`` (with or without crops) or ``''``.
    """

    path: str
    state: Mapping[str, Tensor]
    taxonomy: Taxonomy
    encoder: str
    luminance: bool
    names: str


def read_network(path: str) -> TrainedNetwork:
    """Read a checkpoint, without executing code in it.

    Raises:
        UsageError: If it has no taxonomy.
        FileNotFoundError, ValueError: As :func:`deepunetto_mm.guards.checkpoint.read_checkpoint`.
    """
    state = read_checkpoint(path)['state_dict']
    fill_in_shared(state)
    if _STAMP not in state:
        raise UsageError(f'--from {path}: it carries no taxonomy, so its classes are unknown; give one of a DeepUNetto')
    taxonomy = Taxonomy.from_dict(json.loads(bytes(state[_STAMP].tolist())))
    crops = any(key.startswith('fine_branch.fine_head.') for key in state)
    painted = any(key.startswith('dense_heads.names.') for key in state)
    return TrainedNetwork(
        path,
        state,
        taxonomy,
        'efficientnet-lite0' if any('backbone.timm_model.' in key for key in state) else 'scratch',
        any(key.startswith('backbone.backbone.') for key in state),
        'map' if painted else 'crops' if crops else '',
    )


def write_start(cfg: Config, network: TrainedNetwork, path: Path) -> list[str]:
    """Write the weights that a training of a config starts with: those of a trained network wherever they fit.

    A parameter is kept if it has the same name and shape; of the classifiers, the rows of classes with the same name.

    Args:
        cfg: With the new taxonomy.
        network: The trained network.
        path: The checkpoint to write, for ``load_from``.

    Returns:
        What was kept and what was not, in words.

    Raises:
        UsageError: If the encoder is another one.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        model: Any = MODELS.build(cfg.model)
    model.init_weights()
    start = model.state_dict()
    report = keep(start, network.state, network.taxonomy, model.taxonomy)
    if any(key.startswith('backbone.') and not _fits(key, start, network.state) for key in start):
        raise UsageError(
            f'--from {network.path}: tools/plan.py does not choose its encoder. Set load_from in the config of '
            'that network, or its parts, as init_cfg=dict(type="Pretrained", checkpoint=..., prefix="backbone.")'
        )
    content = io.BytesIO()
    torch.save(dict(state_dict=start, meta={}), content)
    write_whole(path, content.getvalue())
    return report


def keep(start: dict[str, Tensor], trained: Mapping[str, Tensor], old: Taxonomy, new: Taxonomy) -> list[str]:
    """Put the parameters of a trained network into those of a new one, in place, as :func:`write_start` says.

    Returns:
        What was kept and what was not, in words.
    """
    kept: dict[str, list[bool]] = {}
    others = {
        key.rpartition('.')[0]
        for key, fresh in start.items()
        if any(pattern.match(key) for pattern in _ROWS.values())
        and not (key in trained and trained[key].shape[1:] == fresh.shape[1:])
    }  # classifiers of which something does not fit: a bias would be of other weights
    for key, fresh in start.items():
        if key == _STAMP:
            continue
        by_class = next((what for what, pattern in _ROWS.items() if pattern.match(key)), None)
        if by_class is None:
            part = next((name for name in _PARTS if key.startswith(name)), key.partition('.')[0])
            kept.setdefault(part, []).append(_fits(key, start, trained))
            if kept[part][-1]:
                fresh.copy_(trained[key])
        elif key.rpartition('.')[0] not in others:
            ours, theirs = getattr(new, by_class), getattr(old, by_class)
            for row, name in enumerate(ours):
                if name in theirs:
                    fresh[row] = trained[key][theirs.index(name)]
    report = [
        f'{_PARTS.get(part, part)}: ' + ('kept' if all(own) else f'{sum(own)} of {len(own)} parameters kept')
        for part, own in kept.items()
    ]
    for by_class, pattern in _ROWS.items():
        if not any(pattern.match(key) for key in start):
            continue
        what = 'class' if by_class == 'classes' else 'fine class'
        there = any(pattern.match(key) and key.rpartition('.')[0] not in others for key in start)
        report += _compare(what, getattr(new, by_class), getattr(old, by_class) if there else ())
    return report


def _compare(what: str, ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    lines = [f'{what} {name!r}: ' + ('kept' if name in theirs else 'starts from random weights') for name in ours]
    return lines + [f'{what} {name!r} of the checkpoint: left out' for name in theirs if name not in ours]


def _fits(key: str, start: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> bool:
    return key in trained and trained[key].shape == start[key].shape
