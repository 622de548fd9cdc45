"""A tiny dataset on disk, to be spoilt by the tests."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from deepunetto_mm.datasets import CoarseFineDataset


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


# A forked process has none of its parent's threads, and would wait forever for those that share an operation's work.
os.register_at_fork(after_in_child=_use_one_thread)

TAXONOMY = dict(
    classes=['background', 'cytoplasm', 'nucleus', 'vessel'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['neutrophil', 'lymphocyte']),
        dict(name='tube', members=['vessel'], fine_classes=['artery', 'vein']),
    ],
)


class TinyData:
    """Two pictures of 8x6 pixels, a and b, each with a cell of 2x3 at the upper left and a vessel of 8x1 below."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mask = np.zeros((6, 8), np.uint8)
        self.mask[1:4, 1:3] = 1
        self.mask[2, 1] = 2
        self.mask[5] = 3
        for name in 'ab':
            self.write(f'images/{name}.png', np.full((6, 8, 3), 50, np.uint8))
            self.write(f'masks/{name}.png', self.mask)
        self.table('image,fine_class\na,neutrophil\nb,vein\n')

    def write(self, path: str, array: np.ndarray) -> str:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), array)
        return str(file)

    def table(self, text: str) -> None:
        (self.root / 'labels.csv').write_text(text, encoding='utf-8')

    def build(self, *, regions: bool = False, masks: bool = True, **options: Any) -> CoarseFineDataset:
        init_default_scope('mmseg')
        prefix = dict(img_path='images')
        if masks:
            prefix['seg_map_path'] = 'masks'
        if regions:
            prefix['region_map_path'] = 'regions'
        config = dict(
            data_root=str(self.root),
            data_prefix=prefix,
            img_suffix='.png',
            metainfo=dict(taxonomy=TAXONOMY),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='deepunetto_mm.LoadRegions'),
                dict(type='deepunetto_mm.PackRegionInputs'),
            ],
        )
        return CoarseFineDataset(**{**config, **options})


@pytest.fixture
def tiny(tmp_path: Path) -> TinyData:
    return TinyData(tmp_path)


@pytest.fixture
def config(repository: Path) -> Path:
    """The config of a tiny network."""
    return repository / 'tests' / 'data' / 'tiny_config.py'


@pytest.fixture(scope='session')
def load_module(repository: Path) -> Callable[[str], Any]:
    """Import a script by its path in the repository, each time another module."""

    def load(path: str) -> Any:
        spec = importlib.util.spec_from_file_location(f'script_{Path(path).stem}', repository / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def in_process(load_module: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Load a command, to be run in this process: importing the stack again would take longer than the tests."""

    def prepare(path: str) -> Any:
        module = load_module(path)

        def run(*arguments: Any) -> None:
            monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
            module.main()

        run.module = module  # type: ignore[attr-defined]
        return run

    return prepare


@pytest.fixture(scope='session')
def example(repository: Path) -> Callable[[str, str], str]:
    """``example(page, word)``: the one example in Python of the page that has the word."""

    def find(page: str, word: str) -> str:
        blocks = re.findall(r'```python\n(.*?)```', (repository / page).read_text(encoding='utf-8'), re.DOTALL)
        (block,) = [block for block in blocks if word in block]
        return block

    return find


@pytest.fixture(scope='session')
def annotated(repository: Path) -> SimpleNamespace:
    """What writes small annotated pictures: tests/data/annotated.py."""
    return SimpleNamespace(**runpy.run_path(str(repository / 'tests/data/annotated.py')))


@pytest.fixture(scope='session')
def blood(repository: Path) -> dict[str, Any]:
    """What writes a small tree of blood cells, and configs that read it."""
    return runpy.run_path(str(repository / 'tests/data/blood_tree.py'))


@pytest.fixture(scope='session')
def cityscapes_tree(repository: Path) -> dict[str, Any]:
    """What writes a small download of Cityscapes."""
    return runpy.run_path(str(repository / 'tests/data/cityscapes_tree.py'))


@pytest.fixture(scope='session')
def coco(repository: Path) -> dict[str, Any]:
    """What writes a small download of COCO."""
    return runpy.run_path(str(repository / 'tests/data/coco_tree.py'))
