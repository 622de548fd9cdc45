"""CVAT for images 1.1: an XML file of all pictures, with polygons, boxes, ellipses and run-length codes."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Optional, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import write_whole

from .pictures import by_file_name, find_picture
from .polygons import draw_parts, rectangle
from .scenes import Annotations, DrawnPicture, Outline, Scene, parse_label, split_of

WHAT = 'XML files of CVAT for images'


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether there is an XML file of CVAT's."""
    return any(_is_cvat(path) for path in files)


def _is_cvat(path: Path) -> bool:
    if path.suffix.lower() != '.xml':
        return False
    with path.open('rb') as file:
        return b'<annotations' in file.read(2048)


def read(root: Path, files: Sequence[Path]) -> Annotations:
    """Read all XML files of a folder."""
    found, pictures = Annotations(), by_file_name(files)
    for source in [path for path in files if _is_cvat(path)]:
        top = _parse(source)
        if top.find('track') is not None:
            message = f'{source}: tracks of a video, which are not read; export "CVAT for images 1.1"'
            found.problems.append(DataError(message, 'cvat'))
        for image in top.iter('image'):
            try:
                found.scenes.append(_scene(root, source, image, pictures, found.notes))
            except DataError as error:
                found.problems.append(error)
    return found


def write(pictures: Sequence[DrawnPicture], root: Path) -> None:
    """Write ``annotations.xml`` with CVAT's masks, which have holes and parts."""
    top = Element('annotations')
    SubElement(top, 'version').text = '1.1'
    labels = SubElement(SubElement(SubElement(top, 'meta'), 'task'), 'labels')
    for label in sorted({item.label for picture in pictures for item in picture.objects}):
        SubElement(SubElement(labels, 'label'), 'name').text = label
    for number, picture in enumerate(pictures):
        name = picture.file.relative_to(root / 'images').as_posix()
        image = SubElement(top, 'image', id=str(number), name=name)
        image.attrib.update(width=str(picture.width), height=str(picture.height))
        for item in picture.objects:
            mask, left, above = item.cut()
            values = np.concatenate([[False], mask.ravel(), [not mask[-1, -1]]])
            runs = np.diff(np.flatnonzero(np.diff(values)), prepend=0)
            place = dict(left=left, top=above, width=mask.shape[1], height=mask.shape[0], occluded=0, z_order=0)
            shape = SubElement(image, 'mask', label=item.label, source='manual', rle=', '.join(map(str, runs)))
            shape.attrib.update({key: str(value) for key, value in place.items()})
    ElementTree.indent(top)
    write_whole(root / 'annotations.xml', ElementTree.tostring(top, 'utf-8', xml_declaration=True))


def _parse(path: Path) -> Element:
    # Entities, which can grow without end, need a declaration, which CVAT does not write.
    text = path.read_bytes()
    if b'<!DOCTYPE' in text or b'<!ENTITY' in text:
        raise DataError(f'{path}: it declares a document type, which CVAT does not; export it again')
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f'{path}: not XML ({error}); export it again') from error


def _scene(root: Path, source: Path, image: Element, pictures: dict[str, list[Path]], notes: list[str]) -> Scene:
    name = image.get('name', '').replace('\\', '/')
    parts = [part for part in (image.get('subset'), *name.split('/')) if part]
    split, folders = split_of(parts[:-1])
    picture = find_picture(root, pictures, source, '/'.join(parts), split)
    where = f'{source}, image {name!r}'
    size = _whole(where, image, 'height'), _whole(where, image, 'width')
    if image.get('subset', '').lower() == 'default':  # of the pictures that are in no subset
        folders = folders[1:]
    scene = Scene('/'.join([*folders, Path(name).stem]), picture, source, split, size)
    grouped: dict[Any, list[Element]] = defaultdict(list)
    for position, shape in enumerate(image):
        if shape.tag not in ('polygon', 'mask', 'box', 'ellipse'):
            notes.append(f'{where}: a {shape.tag} is not an area: left out')
            continue
        group = shape.get('group_id') or '0'
        # Shapes of one label and group are parts of one object; 0 is no group.
        grouped[position if group == '0' else (shape.get('label'), group)].append(shape)
    # Of shapes that overlap, COCO's rule says which is on top; z_order has no say.
    for members in grouped.values():
        kind, fine = parse_label(members[0].get('label', ''))
        if not kind:
            raise DataError(f'{where}: a {members[0].tag} has no label; give it one', 'cvat')
        attributes = {
            item.get('name', ''): (item.text or '').strip()
            for shape in members
            for item in shape.iter('attribute')
            if (item.text or '').strip() and (item.text or '').strip().lower() not in ('true', 'false')
        }
        polygons = [points for points in (_polygon(where, shape) for shape in members) if points is not None]
        bitmaps = [_bitmap(where, shape) for shape in members if shape.tag == 'mask']
        scene.outlines.append(Outline(kind, fine, partial(draw_parts, polygons, bitmaps), attributes))
    return scene


def _whole(where: str, element: Element, key: str) -> int:
    value = element.get(key, '')
    if not value.isdecimal() or int(value) > 10**6:
        raise DataError(f'{where}: {element.tag} has {key}={value!r}, not a whole number; export it again', 'cvat')
    return int(value)


def _number(where: str, element: Element, key: str) -> float:
    try:
        value = float(element.get(key, ''))
    except ValueError:
        value = math.nan
    if not abs(value) < 10**6:
        raise DataError(f'{where}: {element.tag} has {key}={element.get(key)!r}, not a number; export it again', 'cvat')
    return value


def _polygon(where: str, shape: Element) -> Optional[np.ndarray]:
    if shape.tag == 'box':
        corners = [_number(where, shape, key) for key in ('xtl', 'ytl', 'xbr', 'ybr')]
        return _turned(where, shape, rectangle(corners[:2], corners[2:]))
    if shape.tag == 'ellipse':
        x, y, a, b = (_number(where, shape, key) for key in ('cx', 'cy', 'rx', 'ry'))
        angles = np.arange(64) * 2 * np.pi / 64
        return _turned(where, shape, np.stack([x + a * np.cos(angles), y + b * np.sin(angles)], axis=1))
    if shape.tag != 'polygon':
        return None
    try:
        points = np.array([point.split(',') for point in shape.get('points', '').split(';')], np.float64)
    except ValueError:
        points = np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.abs(points).max() < 10**6:
        raise DataError(f'{where}: a polygon has not three points x,y; draw it again', 'cvat')
    return points


def _turned(where: str, shape: Element, points: np.ndarray) -> np.ndarray:
    """A box or an ellipse, turned around its centre by its rotation, in degrees, clockwise on the picture."""
    if 'rotation' not in shape.attrib:
        return points
    angle, centre = math.radians(_number(where, shape, 'rotation')), points.mean(axis=0)
    cos, sin = math.cos(angle), math.sin(angle)
    return (points - centre) @ [[cos, sin], [-sin, cos]] + centre


def _bitmap(where: str, shape: Element) -> tuple[np.ndarray, int, int]:
    """A mask in its box: lengths of runs outside and inside, alternating, along the *rows*, unlike COCO's."""
    top, left, height, width = (_whole(where, shape, key) for key in ('top', 'left', 'height', 'width'))
    words = [word.strip() for word in shape.get('rle', '').split(',')]
    runs = [int(word) for word in words if word.isdecimal()]
    if len(runs) != len(words) or sum(runs) != height * width:
        raise DataError(f'{where}: the runs of a mask do not add up to its {height}x{width} pixels', 'cvat')
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(height, width), top, left
