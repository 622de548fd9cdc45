"""What ``DeepUNettoInferencer`` writes, with names that people have corrected in its JSON files."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any, Sequence

import numpy as np

from deepunetto_mm.ops import run_length_code
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_json
from deepunetto_mm.utils.region_maps import encode_masks

from .class_files import read_classes
from .pictures import read_map
from .scenes import Annotations, Scene, plain

WHAT = 'predictions of DeepUNettoInferencer'


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there are predictions, and the taxonomy that they are in."""
    return (root / 'classes.json').is_file() and any(path.parent == root / 'predictions' for path in files)


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read the JSON file and the maps of every picture.

    The masks are those of the maps, and the names those of the JSON file, where people correct them: another fine
    class, also a new one; an empty one for an object without a name. A region that was taken out is ignored.
    """
    found = Annotations()
    read_classes(root, found)
    if found.taxonomy is None:
        raise DataError(f'{root / "classes.json"}: no taxonomy; predict again')
    found.notes = []
    taxonomy = Taxonomy.from_dict(found.taxonomy)
    new: dict[str, str] = {}  # group by name
    for path in [path for path in files if path.parent == root / 'predictions' and path.suffix == '.json']:
        try:
            found.scenes.append(_scene(root, path, taxonomy, new))
        except DataError as error:
            found.problems.append(error)
    for group in found.taxonomy['groups']:
        group['fine_classes'] += sorted(name for name, owner in new.items() if owner == group['name'])
    if new:
        found.notes.append(f'new fine classes: {", ".join(f"{name} ({group})" for name, group in sorted(new.items()))}')
    return found


def _scene(root: Path, path: Path, taxonomy: Taxonomy, new: dict[str, str]) -> Scene:
    content: Any = read_json(str(path))
    if not isinstance(content, dict) or not isinstance(content.get('regions'), list):
        raise DataError(f'{path}: not a prediction, which has the keys picture, width, height and regions')
    picture = Path(str(content.get('picture')))
    beside = root / PureWindowsPath(picture).name  # predicted on another machine, perhaps on Windows
    picture = next((one for one in (picture, root / picture, beside) if one.is_file()), picture)
    if not picture.is_file():
        raise DataError(f'{path}: its picture {picture} is not there; copy it to {root}', 'missing file')
    scene = Scene(path.stem, picture, path)
    scene.label_map = _map_of(root, 'segmentation', path)
    if not taxonomy.groups:
        return scene
    scene.region_map = _map_of(root, 'regions', path)
    regions = read_map(scene.region_map)
    ids = np.unique(regions[regions > 0])
    codes = dict(zip(ids.tolist(), encode_masks(regions, ids)))
    left_out = set(codes)
    for region in content['regions']:
        try:
            id_, group, name, mask = (region[key] for key in ('id', 'group', 'fine_class', 'mask'))
            drawn = run_length_code(mask, *regions.shape)['counts'].decode()
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f'{path}: region {region!r:.60}: {error!r}; change names only') from error
        where = f'{path}, region {id_}'
        if not isinstance(id_, int) or id_ not in left_out or drawn != codes[id_]['counts']:
            raise DataError(
                f'{where}: its mask is not that of {scene.region_map}; change names only, and outlines in an '
                'annotation tool (tools/dataset_converters/annotations.py --to)'
            )
        left_out.discard(id_)
        name = plain(str(name or ''))
        if name:
            scene.region_names[id_] = name
            _require_group(where, group, name, taxonomy, new)
    scene.left_out = frozenset(left_out)
    return scene


def _map_of(root: Path, folder: str, path: Path) -> Path:
    candidates = [root / folder / f'{path.stem}{suffix}' for suffix in ('.png', '.tif')]
    found = next((one for one in candidates if one.is_file()), None)
    if found is None:
        raise DataError(f'{path}: {candidates[0]} is not there; predict the picture again', 'missing file')
    return found


def _require_group(where: str, group: Any, name: str, taxonomy: Taxonomy, new: dict[str, str]) -> None:
    """Check that a name is one of its group; a new one is remembered."""
    allowed = {own.name: own.fine_classes for own in taxonomy.groups}
    if group not in allowed:
        raise DataError(f'{where}: no group {group!r}; there are {list(allowed)}', 'fine label')
    owner = next((own for own, names in allowed.items() if name in names), '') or new.setdefault(name, group)
    if owner != group or name in taxonomy.stuff_classes:
        what = 'a class of pixels' if name in taxonomy.stuff_classes else f'a name of {owner!r}'
        raise DataError(f'{where}: {name!r} is {what}, and the region is of {group!r}', 'fine label')
