"""Folders of pictures and of maps of the same names: masks of classes, maps of region ids, a table of fine classes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.files import read_json, read_table, read_text

from .scenes import Annotations, Scene, is_picture, read_map, split_of

WHAT = 'folders of pictures and masks'
_ROLES = dict(
    picture=('images', 'imgs', 'img', 'image', 'pictures', 'photos', 'jpegimages'),
    mask=('masks', 'mask', 'labels', 'label', 'annotations', 'segmentationclass', 'gt', 'groundtruth', 'ground_truth'),
    region=('regions', 'instances', 'instance', 'instance_maps', 'instance_ids', 'segmentationobject'),
)
_ENDINGS = dict(mask=r'[_-](masks?|labels?|seg|gt)$', region=r'[_-](instances?|regions?|ids|cp_masks)$')
_SAMPLE = 20  # masks that are read to know what their values are
_TABLES = ('labels.csv', 'classes.csv', 'table.csv')
_CLASS_FILES = ('classes.json', 'taxonomy.json')
_COLOUR_FILE = 'labelmap.txt'  # of CVAT's "segmentation mask"


def sort_files(root: Path, files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Pictures, masks and region maps by name: the path without the folder of its role, the suffix, and ``_mask``.

    A split's folder may be above the folder of the role or below it.
    """
    found: dict[str, dict[str, Path]] = dict(picture={}, mask={}, region={})
    for path in files:
        if not is_picture(path):
            continue
        role, folders, stem = 'picture', list(path.relative_to(root).parts[:-1]), path.stem
        # `x_cp_masks` is a name of Cellpose's maps of ids, and ends as a mask's does.
        for other in ('region', 'mask', 'picture'):
            place = next((i for i, part in enumerate(folders) if part.lower() in _ROLES[other]), None)
            shorter = re.sub(_ENDINGS.get(other, r'^$'), '', stem, flags=re.IGNORECASE)
            if place is not None or shorter != stem:
                role, stem = other, shorter
                if place is not None:
                    del folders[place]
                break
        name = '/'.join([*folders, stem])
        if name in found[role]:
            raise DataError(f'{found[role][name]} and {path} are both the {role} {name!r}; rename or remove one')
        found[role][name] = path
    return found


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether some pictures have a mask or a region map."""
    sorted_files = sort_files(root, files)
    return bool(sorted_files['picture'] and (sorted_files['mask'] or sorted_files['region']))


def read(root: Path, files: Sequence[Path], masks_are: Optional[str] = None) -> Annotations:
    """Read the lists of files, the table and the names of the classes; masks are read when they are written.

    Args:
        root: The folder.
        files: All files in it.
        masks_are: ``'classes'`` or ``'ids'``; None to find out.
    """
    found, roles = Annotations(), sort_files(root, files)
    pictures, masks, regions = roles['picture'], roles['mask'], roles['region']
    if not regions and masks_are != 'classes' and (masks_are == 'ids' or _are_ids(list(masks.values()))):
        masks, regions = {}, masks
        found.notes.append('the masks are maps of ids: each value of a picture is one object')
    for what, maps in (('mask', masks), ('region map', regions)):
        lost = sorted(set(maps) - set(pictures))
        for name in lost:
            message = f'{maps[name]}: no picture belongs to this {what}{suggest(name, set(pictures) - set(maps))}'
            found.problems.append(DataError(f'{message}; rename or remove it', 'file of no picture'))
    needed = {'mask': masks, 'region map': regions}
    annotated = [name for name in pictures if all(name in maps for maps in needed.values() if maps)]
    if annotated and len(annotated) < len(pictures) / 2:
        found.notes.append(f'{len(pictures) - len(annotated)} of {len(pictures)} pictures have no mask: left out')
        pictures = {name: pictures[name] for name in annotated}
    listed = _listed_splits(files)
    for name, path in sorted(pictures.items()):
        missing = [what for what, maps in needed.items() if maps and name not in maps]
        if missing:
            message = f'{path}: it has no {" and no ".join(missing)}; write it, or take the picture out'
            found.problems.append(DataError(message, 'missing file'))
            continue
        split, folders = split_of(name.split('/')[:-1])
        split = split or listed.get(name, '')
        scene = Scene('/'.join([*folders, name.split('/')[-1]]), path, masks.get(name, path), split)
        scene.label_map, scene.region_map = masks.get(name), regions.get(name)
        found.scenes.append(scene)
    read_classes(root, found)
    table = next((root / name for name in _TABLES if (root / name).is_file() and _names_fine(root / name)), None)
    if table is not None:
        _read_names(table, found, bool(regions))
    return found


def _are_ids(paths: Sequence[Path]) -> bool:
    """Whether masks have the ids of single objects: 1..n with an n of each picture's own, each value in one piece."""
    highest, whole = [], Counter[bool]()
    for path in paths[:: max(1, len(paths) // _SAMPLE)]:
        try:
            values = read_map(path)
        except DataError:
            continue
        if values.ndim != 2 or values.dtype.kind not in 'iu':
            return False
        ids = np.unique(values)
        ids = ids[ids > 0]
        if not len(ids):
            continue
        highest.append(len(ids) if ids[-1] <= 1.5 * len(ids) + 2 else 0)
        for id_ in ids[:30]:
            whole[cv2.connectedComponents((values == id_).astype(np.uint8), connectivity=8)[0] == 2] += 1
    is_numbered = bool(highest) and min(highest) > 0 and max(highest) >= 3 and len(set(highest)) > 1
    return is_numbered and whole[True] >= 0.9 * whole.total()


def _listed_splits(files: Sequence[Path]) -> dict[str, str]:
    """Splits by the lists of Pascal VOC, ``ImageSets/Segmentation/train.txt``."""
    return {
        name: split_of([path.stem])[0]
        for path in files
        if 'ImageSets' in path.parts and path.suffix == '.txt' and split_of([path.stem])[0]
        for name in read_text(str(path)).split()
    }


def _read_colours(path: Path, found: Annotations) -> None:
    """Classes and their colours, ``name:red,green,blue::``; the background comes first."""
    rows = re.findall(r'^([^#:\n][^:\n]*):(\d+),(\d+),(\d+):', read_text(str(path)), re.MULTILINE)
    rows.sort(key=lambda row: row[0].lower() != 'background')
    if not rows:
        raise DataError(f'{path}: no line name:red,green,blue:parts:actions')
    found.classes = [name for name, *_ in rows]
    found.colours = {
        65536 * int(red) + 256 * int(green) + int(blue): index for index, (_, red, green, blue) in enumerate(rows)
    }
    found.notes.append(f'the names and colours of the classes are from {path}')


def read_classes(root: Path, found: Annotations) -> None:
    """The names of the classes: a taxonomy, a list of names by mask value, or stuff and kinds of specific classes."""
    if (root / _COLOUR_FILE).is_file():
        _read_colours(root / _COLOUR_FILE, found)
        return
    path = next((root / name for name in _CLASS_FILES if (root / name).is_file()), None)
    if path is None:
        return
    content: Any = read_json(str(path))
    if isinstance(content, dict) and isinstance(content.get('taxonomy'), dict):
        content = dict(content['taxonomy'], **{key: value for key, value in content.items() if key == 'composed'})
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        found.classes = content
    elif isinstance(content, dict) and isinstance(content.get('kinds'), dict):
        stuff, kinds = list(content.get('stuff', ['background'])), content['kinds']
        groups = [dict(name=kind, members=[kind], fine_classes=list(names)) for kind, names in kinds.items()]
        found.taxonomy = dict(classes=[*stuff, *kinds], groups=groups)
        found.composed = list(content.get('composed', [*stuff, *(name for names in kinds.values() for name in names)]))
    elif isinstance(content, dict) and 'classes' in content:
        found.composed = content.get('composed')
        found.taxonomy = {key: value for key, value in content.items() if key != 'composed'}
    else:
        raise DataError(
            f'{path}: a list of the names of the mask values, a taxonomy with "classes" and "groups", or "stuff" and '
            '"kinds" were expected; see docs/plan.md'
        )
    if found.taxonomy is not None:
        found.taxonomy = Taxonomy.from_dict(found.taxonomy).to_dict()
    found.notes.append(f'the names of the classes are from {path}')


def _names_fine(path: Path) -> bool:
    rows = read_table(str(path), [])
    return bool(rows) and {'image', 'fine_class'} <= set(rows[0][1])


def _read_names(path: Path, found: Annotations, with_regions: bool) -> None:
    """Fine classes of pictures or of regions, from a table."""
    by_name: dict[str, list[Scene]] = {}
    for scene in found.scenes:
        names = {scene.name, f'{scene.split}/{scene.name}'} if scene.split else {scene.name}
        for name in names:
            by_name.setdefault(name, []).append(scene)
            by_name.setdefault(name + scene.picture.suffix, []).append(scene)
    for line, row in read_table(str(path), ['image', 'fine_class'], ['region', 'split']):
        where, name = f'{path}, line {line}', row['image'].replace('\\', '/')
        wanted = split_of([row['split']])[0] or row['split'] if row.get('split') else ''
        owners = [scene for scene in by_name.get(name, []) if wanted in ('', scene.split) or not scene.split]
        if not owners:
            message = f'{where}: no picture {name!r}{suggest(name, by_name)}; fix the row'
            found.problems.append(DataError(message, 'fine label'))
            continue
        if len(owners) > 1:
            message = f'{where}: {name!r} is the name of {len(owners)} pictures; add a column split'
            found.problems.append(DataError(message, 'fine label'))
            continue
        if wanted and not owners[0].split:
            owners[0].split = wanted
        region = row.get('region', '')
        if not region:
            owners[0].picture_name = row['fine_class']
        elif not with_regions or not region.isdigit():
            message = f'{where}: the row names the region {region!r}, but there are no region maps of numbers'
            found.problems.append(DataError(message, 'fine label'))
        elif row['fine_class']:
            owners[0].region_names[int(region)] = row['fine_class']
