"""Labelme: one JSON file beside each picture, with polygons, circles, rectangles and masks."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, Mapping, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.datasets.file_names import composed
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_json, write_whole

from .pictures import by_file_name, find_picture, is_picture
from .polygons import circle, draw_parts, rectangle
from .scenes import Annotations, DrawnPicture, Outline, Scene, parse_label, split_of

WHAT = 'JSON files of Labelme'
# With three corners or more; those that are turned are called as in Labelme and X-AnyLabeling.
_CORNERS = ('polygon', 'rectangle', 'oriented_rectangle', 'rotation', 'quadrilateral')


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether a JSON file of the folder is one of Labelme's."""
    return any(_is_labelme(path) for path in [path for path in files if path.suffix.lower() == '.json'][:50])


def _is_labelme(path: Path) -> bool:
    with path.open('rb') as file:
        head = file.read(4096)
    # Labelme writes the picture itself, which is long, after the shapes, and its version first; others sort the keys.
    return any(key in head for key in (b'"shapes"', b'"imageData"')) or (b'"flags"' in head and b'"version"' in head)


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read all JSON files of a folder; pictures without one are left out, and reported."""
    found, annotated = Annotations(), set()
    pictures, beside = by_file_name(files), dict[Path, list[Path]]()
    for path in filter(is_picture, files):
        beside.setdefault(path.with_suffix(''), []).append(path)
    for path in files:
        if path.suffix.lower() != '.json' or not _is_labelme(path):
            continue
        try:
            scene = _read_file(root, path, pictures, beside.get(path.with_suffix(''), []), found.notes)
        except DataError as error:
            found.problems.append(error)
            continue
        annotated.add(scene.picture)
        found.scenes.append(scene)
    rest = sorted({path for own in beside.values() for path in own} - annotated)
    if rest:
        found.notes.append(f'{len(rest)} pictures have no JSON file and are left out, such as {rest[0]}')
    return found


def write(pictures: Sequence[DrawnPicture], root: Path) -> None:
    """Write a JSON file beside every picture; objects are Labelme's masks, which have holes and parts."""
    for picture in pictures:
        shapes: list[dict[str, Any]] = []
        for item in picture.objects:
            mask, left, top = item.cut()
            content = cv2.imencode('.png', mask.astype(np.uint8) * 255)[1].tobytes()
            shapes.append(
                dict(
                    label=item.label,
                    points=[[left, top], [left + mask.shape[1] - 1, top + mask.shape[0] - 1]],
                    group_id=None,
                    description='',
                    shape_type='mask',
                    flags={},
                    mask=base64.b64encode(content).decode(),
                )
            )
        record: dict[str, Any] = dict(
            version='5.5.0', flags={}, shapes=shapes, imagePath=picture.file.name, imageData=None
        )
        record.update(imageHeight=picture.height, imageWidth=picture.width)
        write_whole(picture.file.with_suffix('.json'), json.dumps(record, indent=1, ensure_ascii=False).encode())


def _read_file(
    root: Path, path: Path, pictures: Mapping[str, Sequence[Path]], beside: Sequence[Path], notes: list[str]
) -> Scene:
    content = read_json(str(path))
    shapes = content.get('shapes') if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise DataError(f"{path}: no list 'shapes', which Labelme's files have; save it again", 'labelme')
    picture = _picture_of(root, path, content, pictures, beside)
    split, folders = split_of(path.relative_to(root).parts[:-1])
    size = content.get('imageHeight'), content.get('imageWidth')
    known = size if all(isinstance(side, int) and side > 0 for side in size) else None
    scene = Scene('/'.join([*folders, path.stem]), picture, path, split, known)
    grouped: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
    for position, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str) or not shape['label'].strip():
            raise DataError(f'{path}: shape number {position + 1} has no label; give it one, or remove it', 'labelme')
        group = shape.get('group_id')
        # Shapes of one label and group id are parts of one object.
        key = (position, None) if group is None else (shape['label'], str(group))
        grouped[key].append((f'number {position + 1}', shape))
    for members in grouped.values():
        outline = _outline(path, members, notes)
        if outline is not None:
            scene.outlines.append(outline)
    return scene


def _picture_of(
    root: Path, path: Path, content: dict, pictures: Mapping[str, Sequence[Path]], beside: Sequence[Path]
) -> Path:
    named = content.get('imagePath')
    candidates = []
    if isinstance(named, str) and named:
        # Written on Windows, it has backslashes; and pictures are moved with their files.
        relative = PureWindowsPath(named)
        candidates = [path.parent / relative.as_posix(), path.parent / relative.name]
        candidates = [one.resolve() for one in candidates] + candidates
    for one in [*candidates, *beside]:
        if one.is_file():
            return next((known for known in beside if known.resolve() == one.resolve()), one)
    # In another folder, of a picture that has no file of its own beside it.
    name = composed(named if isinstance(named, str) else path.stem)
    key = name.rpartition('/')[2]
    free = [one for one in pictures.get(key, ()) if not one.with_suffix('.json').is_file()]
    if free:
        return find_picture(root, {key: free}, path, name)
    inside = ', or take it out of the file, by labelme_export_json' * bool(content.get('imageData'))
    raise DataError(f'{path}: its picture {named!r} is not there; put it beside the file{inside}', 'missing file')


def _outline(path: Path, members: Sequence[tuple[str, dict]], notes: list[str]) -> Optional[Outline]:
    """The object that one shape is, or several of one group id are together."""
    polygons: list[np.ndarray] = []
    bitmaps: list[tuple[np.ndarray, int, int]] = []
    attributes: dict[str, str] = {}
    for where, shape in members:
        kind = shape.get('shape_type') or 'polygon'
        points = np.asarray(_points(path, where, shape), np.float64).reshape(-1, 2)
        if kind == 'mask':
            bitmaps.append(_bitmap(path, where, shape, points))
        elif kind == 'circle' and len(points) == 2:
            polygons.append(circle(points[0], points[1]))
        elif kind == 'rectangle' and len(points) == 2:
            polygons.append(rectangle(points[0], points[1]))
        elif kind in _CORNERS and len(points) >= 3:
            polygons.append(points)
        else:
            notes.append(f'{path}: shape {where} is a {kind} of {len(points)} points, not an area: left out')
            continue
        attributes.update(_attributes(shape))
    if not polygons and not bitmaps:
        return None
    label, name = parse_label(members[0][1]['label'])
    return Outline(label, name, partial(draw_parts, polygons, bitmaps), attributes)


def _points(path: Path, where: str, shape: dict) -> Any:
    points = shape.get('points')
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 and all(isinstance(x, (int, float)) and abs(x) < 1e6 for x in point)
        for point in points
    ):
        raise DataError(f'{path}: shape {where} has no list of points x, y; draw it again, or remove it', 'labelme')
    return points


def _bitmap(path: Path, where: str, shape: dict, points: np.ndarray) -> tuple[np.ndarray, int, int]:
    try:
        content = np.frombuffer(base64.b64decode(shape.get('mask') or '', validate=True), np.uint8)
        mask: Optional[np.ndarray] = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    except (binascii.Error, TypeError, ValueError):
        mask = None
    if mask is None or len(points) < 1:
        raise DataError(f'{path}: shape {where} is a mask without a picture of it; draw it again', 'labelme')
    return mask > 0, round(float(points[0][1])), round(float(points[0][0]))


def _attributes(shape: dict) -> dict[str, str]:
    """Flags that are set, under the key 'flag', and pairs of the description: ``type=neutrophil, stage=2``."""
    flags = shape.get('flags')
    is_set = [name for name, value in flags.items() if value] if isinstance(flags, dict) else []
    found = {'flag': ', '.join(is_set)} if is_set else {}
    text = shape.get('description')
    if isinstance(text, str) and text.strip():
        pairs = re.findall(r'([\w ]+?)\s*[=:]\s*([^,;\n]+)', text)
        found.update({key.strip(): value.strip() for key, value in pairs} or {'description': text.strip()})
    return found
