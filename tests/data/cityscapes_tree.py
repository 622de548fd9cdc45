"""A small tree in the layout of the official Cityscapes download: ``write_tree(root)``, or run it with a folder.

Every file is named, and every label and instance id used, as there: groups (26 and not 26003), ego vehicle,
rectification border, out of roi, classes outside evaluation, objects below and above 100 pixels. The last picture of
each split has no object. The test split has pictures alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

FRAMES = dict(
    train=['aachen_000000_000019', 'aachen_000001_000019', 'bochum_000000_000313', 'bochum_000000_000600'],
    val=['frankfurt_000000_000294', 'frankfurt_000001_007973', 'lindau_000000_000019', 'lindau_000001_000019'],
    test=['berlin_000000_000019', 'berlin_000001_000019', 'bonn_000000_000019'],
)
EGO_VEHICLE, RECTIFICATION_BORDER, OUT_OF_ROI, ROAD, BUILDING, SKY = 1, 2, 3, 7, 11, 23
STUFF = [0, *range(4, 24)]
THINGS = range(24, 34)
GROUPS = (24, 26, 33)


def draw_scene(rng: np.random.Generator, size: tuple[int, int], objects: bool) -> tuple[np.ndarray, np.ndarray]:
    """Label ids (H, W) uint8 and instance ids (H, W) uint16."""
    height, width = size
    label_ids = np.full(size, ROAD, np.uint8)
    label_ids[: height // 2] = BUILDING
    label_ids[: height // 5] = SKY
    for columns, label in zip(np.array_split(np.arange(width), len(STUFF)), rng.permutation(STUFF)):
        label_ids[height // 3 : height // 2, columns] = label
    instance_ids = label_ids.astype(np.uint16)
    drawn = [(label, label * 1000 + number) for label in THINGS for number in range(2)]
    for label, instance in [*((label, label) for label in GROUPS), *map(tuple, rng.permutation(drawn))]:
        if objects:
            h, w = rng.integers(5, 20, 2)
            y, x = rng.integers(height // 5, height - h // 2), rng.integers(0, width - w // 2)
            label_ids[y : y + h, x : x + w], instance_ids[y : y + h, x : x + w] = label, instance
    for border, label in (
        (np.s_[-height // 12 :], EGO_VEHICLE),
        (np.s_[:, :2], RECTIFICATION_BORDER),
        (np.s_[:1], OUT_OF_ROI),
        (np.s_[:, -3:], OUT_OF_ROI),
    ):
        label_ids[border], instance_ids[border] = label, label
    return label_ids, instance_ids


def write_tree(root: Path, size: tuple[int, int] = (96, 192), seed: int = 0) -> None:
    """Write all three splits below ``root``; pictures are (height, width) = ``size`` and show their labels in colour."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (34, 3))
    for split, frames in FRAMES.items():
        for frame in frames:
            label_ids, instance_ids = draw_scene(rng, size, objects=frame != frames[-1])
            picture = (palette[label_ids] + rng.integers(-20, 21, (*size, 3))).clip(0, 255).astype(np.uint8)
            city = frame.partition('_')[0]
            _write(root / 'leftImg8bit' / split / city / f'{frame}_leftImg8bit.png', picture)
            if split != 'test':
                folder = root / 'gtFine' / split / city
                _write(folder / f'{frame}_gtFine_labelIds.png', label_ids)
                _write(folder / f'{frame}_gtFine_instanceIds.png', instance_ids)
                _write(folder / f'{frame}_gtFine_color.png', palette[label_ids].astype(np.uint8))
                (folder / f'{frame}_gtFine_polygons.json').write_text('{}')


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


if __name__ == '__main__':
    write_tree(Path(sys.argv[1]))
