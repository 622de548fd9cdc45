"""Small annotated pictures in the formats of several tools, to be read and spoilt by tests.

A picture of 40x30 pixels has a square of 10x10 with a hole of 4x4, at (4, 5), and a square of 8x8 at (24, 12).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Optional, Sequence

import cv2
import numpy as np

HEIGHT, WIDTH = 30, 40
RING = np.zeros((HEIGHT, WIDTH), bool)
RING[5:15, 4:14] = True
RING[8:12, 7:11] = False
SQUARE = np.zeros((HEIGHT, WIDTH), bool)
SQUARE[12:20, 24:32] = True


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A rectangle as a polygon."""
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def write_picture(path: Path, seed: int = 0, shape: Sequence[int] = (HEIGHT, WIDTH, 3)) -> Path:
    """Noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def write_map(path: Path, values: np.ndarray) -> Path:
    """A map of labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', values)[1].tobytes())
    return path


def encode_mask(mask: np.ndarray) -> str:
    """A mask as Labelme has it."""
    return base64.b64encode(cv2.imencode('.png', mask.astype(np.uint8))[1].tobytes()).decode()


def shape(label: str, points: Any, shape_type: str = 'polygon', **others: Any) -> dict:
    """A shape of Labelme."""
    return dict(label=label, points=points, shape_type=shape_type, **others)


def write_labelme(path: Path, shapes: Sequence[dict], picture: Optional[str] = None, **others: Any) -> Path:
    """A JSON file of Labelme, and its picture."""
    write_picture(path.with_suffix('.png'), seed=len(path.stem) + sum(map(ord, path.stem)))
    name = path.with_suffix('.png').name if picture is None else picture
    content = dict(version='5.5.0', flags={}, shapes=list(shapes), imagePath=name, imageData=None)
    content.update(imageHeight=HEIGHT, imageWidth=WIDTH, **others)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def write_cells(folder: Path, names: Sequence[str] = ('round', 'long', 'round', 'long', 'round', 'long')) -> Path:
    """A picture and JSON file of Labelme for each name, with a round cell and one of this name."""
    for index, name in enumerate(names):
        first = shape('cell/round', box(2, 2, 9, 9 + index))
        second = shape(f'cell/{name}', box(22, 3, 7, 12))
        write_labelme(folder / f'{index}.json', [first, second])
    return folder
