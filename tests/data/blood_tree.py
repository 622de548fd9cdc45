"""A small dataset in the layout of CoarseFineDataset, to be spoilt by tests; and a config over it.

Training pictures a and b, of 8x6 pixels of noise, have a cell of 2x3 pixels (5 of cytoplasm, 1 of nucleus) and a vessel
of 8x1. The validation picture c has no object, and 8 pixels that are ignored. The cell of a and the vessel of b are named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
from mmengine.config import Config

TAXONOMY = dict(
    classes=['background', 'cytoplasm', 'nucleus', 'vessel'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['neutrophil', 'lymphocyte']),
        dict(name='tube', members=['vessel'], fine_classes=['artery', 'vein']),
    ],
)
MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 1:3] = 1
MASK[2, 1] = 2
MASK[5] = 3
EMPTY = np.zeros((6, 8), np.uint8)
EMPTY[0] = 255
LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions')]


def write(root: Path, path: str, array: np.ndarray) -> str:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), array)
    return str(file)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)


def write_tree(root: Path) -> None:
    for number, (path, mask) in enumerate((('train/a', MASK), ('train/b', MASK), ('val/c', EMPTY))):
        write(root, f'images/{path}.jpg', noise(number))
        write(root, f'masks/{path}.png', mask)
    (root / 'labels.csv').write_text('split,image,fine_class\ntrain,a,neutrophil\ntrain,b,vein\nval,c,\n')


def dataset(root: Path, folder: str, **changes: Any) -> dict:
    """The config of a split's dataset."""
    options = dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=str(root),
        data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'masks/{folder}'),
        metainfo=dict(taxonomy=TAXONOMY),
        split=folder,
        serialize_data=False,  # which would collect garbage for a second
        pipeline=[*LOADING, dict(type='deepunetto_mm.PackRegionInputs')],
    )
    return dict(options, **changes)


def plain_dataset(root: Path, folder: str, **changes: Any) -> dict:
    """The same as mmseg reads it."""
    options = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'masks/{folder}'),
        metainfo=dict(classes=TAXONOMY['classes']),
        serialize_data=False,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    )
    return dict(options, **changes)


def config(train: dict, val: Optional[dict] = None, **others: Any) -> Config:
    """A config of dataloaders alone."""
    loaders = dict(train_dataloader=dict(dataset=train), val_dataloader=val and dict(dataset=val))
    return Config(dict(default_scope='mmseg', **loaders, **others))
