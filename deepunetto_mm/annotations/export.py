"""Our layout in the formats of annotation tools, so that people go on there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np
from mmengine.registry import DATASETS, DefaultScope
from rich.progress import track

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, UsageError
from deepunetto_mm.utils.files import link_file
from deepunetto_mm.utils.region_maps import encode_masks

from . import coco, cvat, labelme, yolo
from .scenes import IGNORED, DrawnObject, DrawnPicture, parse_label
from .written_dataset import WrittenDataset

TOOLS: dict[str, Any] = dict(coco=coco, cvat=cvat, labelme=labelme, yolo=yolo)


def export_dataset(dataset: WrittenDataset, tool: str, out_dir: Path) -> int:
    """Write the pictures, as hard links or copies, and their objects for a tool.

    Objects are the regions, with all their parts and holes. Classes of pixels within an object, and stuff, are not
    written; ignored areas are objects with the label ``ignore``, which COCO calls crowds, and YOLO does not know.

    Args:
        dataset: Of :func:`~deepunetto_mm.annotations.write_dataset`.
        tool: One of :data:`TOOLS`.
        out_dir: Output folder, empty or new.

    Returns:
        The number of objects.

    Raises:
        UsageError: If the folder is not empty.
        DataError: If a name cannot be written.
    """
    require_empty(out_dir)
    taxonomy = dataset.taxonomy
    labels = {
        (group, fine): _label(taxonomy, group, fine)
        for group in range(len(taxonomy.groups))
        for fine in (-1, *taxonomy.children(group))
    }
    drawn = list(_pictures(dataset, labels, out_dir if tool == 'labelme' else out_dir / 'images'))
    TOOLS[tool].write([picture for _, picture in drawn], out_dir)  # first: it refuses names before it writes anything
    for source, picture in drawn:
        link_file(source, picture.file, os.link)  # not a symbolic link, which some tools refuse
    return sum(len(picture.objects) for _, picture in drawn)


def require_empty(out_dir: Path) -> None:
    """Raise UsageError if the output folder of an export is there and not empty."""
    if out_dir.exists() and any(out_dir.iterdir()):
        raise UsageError(f'{out_dir} is not empty; use another folder')


def _pictures(
    dataset: WrittenDataset, label_of: Mapping[tuple[int, int], tuple[str, str, str]], folder: Path
) -> Iterator[tuple[Path, DrawnPicture]]:
    """The file of each picture, and what is written for it."""
    pipeline = [dict(type='LoadImageFromFile'), *dataset.annotation_transforms(min_area=1)]
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = DATASETS.build(dict(dataset.to_config(), pipeline=pipeline))
    images = dataset.root / 'images'
    for index in track(range(len(built)), 'Writing'):
        results = built.prepare_data(index)
        source = Path(results['img_path'])
        file = folder / source.relative_to(images.resolve())
        place = file.relative_to(folder).with_suffix('').as_posix()
        region_map, regions = results['gt_region_map'], results['regions']
        labels = [label_of[pair] for pair in zip(regions['labels'].tolist(), regions['fine_labels'].tolist())]
        codes = encode_masks(region_map, regions['ids'])
        ignored = results['gt_seg_map'] == dataset.taxonomy.ignore_index
        if ignored.any():
            labels.append((IGNORED, IGNORED, ''))
            codes += encode_masks(ignored, np.array([True]))
        objects = [DrawnObject(*label, code) for label, code in zip(labels, codes)]
        height, width = region_map.shape
        picture = DrawnPicture(place, dataset.splits.get(place, ''), file, height, width, objects)
        yield source.resolve(), picture


def _label(taxonomy: Taxonomy, group: int, fine: int) -> tuple[str, str, str]:
    """Label, kind and name of a region; the only name of the only kind is not said."""
    kind, name = taxonomy.groups[group].name, taxonomy.fine_classes[fine] if fine >= 0 else ''
    if len(taxonomy.groups) == 1 and name == kind:
        name = ''
    label = f'{kind}/{name}' if name else kind
    if parse_label(label) != (kind, name):
        raise DataError(f'{label!r} would be read as {parse_label(label)}; rename it without / and : (--rename)')
    return label, kind, name
