"""What all readers return: pictures with outlines of objects, or with maps."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, Union

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.files import read_table
from deepunetto_mm.utils.picture_files import PICTURE_SUFFIXES

_SPLITS = dict(
    train='train', training='train', val='val', valid='val', validation='val', test='test', testing='test'
)  # fmt: skip
_BACKGROUND = ('background', '_background_', '__background__')
IGNORED_LABELS = ('ignore', '__ignore__', 'void', 'unlabeled', 'unlabelled')
_USUAL_KEYS = ('fine', 'fine_class', 'type', 'class', 'name', 'species', 'category', 'subtype', 'kind')
# Columns of tables, in lower case; the first that a table has counts.
_OF_IMAGES = ('image', 'filename', 'file_name', 'file', 'image_name', 'image_id', 'imageid', 'img', 'path', 'id')
_OF_NAMES = (
    'fine_class',
    'label',
    'class',
    'class_name',
    'category',
    'name',
    'species',
    'breed',
    'type',
    'diagnosis',
    'dx',
)
_OTHER_TABLES = ('classes.csv', '_classes.csv', 'class_dict.csv')
_CORNERS = 64  # of a circle
SAMPLED_MAPS, _FEW_COLOURS = 3, 40  # files of a folder that are looked at, and colours of a mask
IGNORED = 'ignore'  # the label of ignored areas, where we write them


@dataclass(frozen=True)
class Outline:
    """One annotated object.

    Attributes:
        kind: Its label, or the part of the label before a slash: ``cell`` of ``cell/neutrophil``.
        name: Its fine class; empty if it has none.
        draw: Height and width of the picture to a mask (H, W) bool.
        attributes: Flags and attributes of the tool, from which :func:`choose_names` takes the fine class.
    """

    kind: str
    name: str
    draw: Callable[[int, int], np.ndarray]
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_background(self) -> bool:
        """Whether it is not an object, but an area that an annotator marked as background."""
        return self.kind.lower() in _BACKGROUND

    @property
    def is_ignored(self) -> bool:
        """Whether its pixels are to be ignored."""
        return self.kind.lower() in IGNORED_LABELS


@dataclass
class Scene:
    """A picture and its annotation: outlines, or the files of its maps.

    Attributes:
        name: Unique, without suffix, with ``/`` on every system; its folders remain in the written dataset. What would
            lead out of that dataset, a root, a drive or ``..``, is taken away.
        picture: The picture's file.
        source: The annotation's file, for errors.
        split: ``'train'``, ``'val'``, ``'test'`` or ``''``.
        size: Height and width that the annotation is meant for, if it has them.
        outlines: Its objects; an empty list is a picture without any.
        label_map: File of a mask of labels.
        region_map: File of a map of region ids.
        picture_name: Fine class of the whole picture.
        region_names: Fine class by region id.
        left_out: Ids in the region map that are no objects, and whose pixels are ignored.
    """

    name: str
    picture: Path
    source: Path
    split: str = ''
    size: Optional[tuple[int, int]] = None
    outlines: list[Outline] = field(default_factory=list)
    label_map: Optional[Path] = None
    region_map: Optional[Path] = None
    picture_name: str = ''
    region_names: dict[int, str] = field(default_factory=dict)
    left_out: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        parts = self.name.split('/')
        self.name = '/'.join(part for part in parts if part not in ('', '.', '..') and not part.endswith(':'))


@dataclass(frozen=True)
class DrawnObject:
    """An object to be written for an annotation tool.

    Attributes:
        label: ``cell/neutrophil``, or ``cell`` if its kind has one name or nobody has named it.
        kind, name: The parts of the label; the name is empty if the label is the kind alone.
        code: COCO's compressed run-length code of its mask.
    """

    label: str
    kind: str
    name: str
    code: Mapping[str, Any]

    @property
    def is_ignored(self) -> bool:
        """Whether it is no object, but an area that is ignored."""
        return self.kind == IGNORED

    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        return coco_mask.decode(self.code).astype(bool)

    def cut(self) -> tuple[np.ndarray, int, int]:
        """The mask within its box, and the box's left and top."""
        left, top, width, height = (round(side) for side in coco_mask.toBbox(self.code).tolist())
        return self.mask()[top : top + height, left : left + width], left, top


@dataclass(frozen=True)
class DrawnPicture:
    """A picture to be written for an annotation tool.

    Attributes:
        place: Its path without suffix, with ``/`` on every system; a split is the first folder.
        split: ``'train'``, ``'val'``, ``'test'`` or ``''``.
        file: The picture, which is there already.
        height, width: In pixels.
        objects: Its objects.
    """

    place: str
    split: str
    file: Path
    height: int
    width: int
    objects: list[DrawnObject]


@dataclass
class Annotations:
    """The pictures of a folder.

    Attributes:
        scenes: Annotated pictures.
        problems: Errors of single files; their pictures are not among the scenes.
        notes: What is left out or was decided.
        classes: Segmentation classes by mask value, if a file or an option gives them.
        taxonomy: The taxonomy, if a file gives it.
        composed: Whether the masks have specific classes: names by mask value, as ``LoadComposedAnnotations`` has them.
        whole: Whether there are no masks, and each picture is one object as a whole.
        colours: Class by colour, 65536 red + 256 green + blue, of masks in colour.
    """

    scenes: list[Scene] = field(default_factory=list)
    problems: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    classes: Optional[list[str]] = None
    taxonomy: Optional[dict] = None
    composed: Optional[list[str]] = None
    whole: bool = False
    colours: dict[int, int] = field(default_factory=dict)


def split_of(parts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The split that a folder's name says, and the other folders."""
    for position, part in enumerate(parts):
        if part.lower() in _SPLITS:
            return _SPLITS[part.lower()], (*parts[:position], *parts[position + 1 :])
    return '', tuple(parts)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its suffix, in any case; hidden files are not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith('.')


def find_picture(pictures: Mapping[str, Sequence[Path]], name: str, split: str = '') -> Optional[Path]:
    """The picture that an annotation file means by a path, which may be of another machine.

    Args:
        pictures: Pictures by file name.
        name: Path with ``/``.
        split: That of the annotation file; a picture in a folder of this split is preferred.

    Returns:
        The picture of this file name whose folders agree with the path best; None without one.

    Raises:
        DataError: If several do.
    """
    parts = name.split('/')

    def rank(path: Path) -> tuple[bool, int]:
        pairs = zip(reversed(parts), reversed(path.parts))
        equal = next((number for number, (one, other) in enumerate(pairs) if one != other), len(parts))
        return bool(split) and split_of(path.parts)[0] == split, equal

    ranked = sorted(pictures.get(parts[-1], ()), key=rank, reverse=True)
    best = [path for path in ranked if rank(path) == rank(ranked[0])]
    if len(best) > 1:
        raise DataError(
            f'the picture {name!r} may be {best[0]} or {best[1]}; write the folder, too, or take one out',
            'missing file',
        )
    return best[0] if best else None


def is_lossy(path: Optional[Path]) -> bool:
    """Whether a file is of a format that changes values."""
    return path is not None and path.suffix.lower() in ('.jpg', '.jpeg', '.webp')


def parse_label(label: str) -> tuple[str, str]:
    """Kind and name of ``cell/neutrophil`` or ``cell:neutrophil``; the name is empty if there is no separator."""
    kind, _, name = re.sub(r'\s+', ' ', label.strip()).replace(':', '/').partition('/')
    return kind.strip(), name.strip()


def choose_names(outlines: Iterable[Outline], key: Optional[str]) -> tuple[Optional[str], list[str]]:
    """Find the attribute that has the fine class.

    Args:
        outlines: All objects.
        key: An attribute that a user has named; None to look for it.

    Returns:
        The attribute, None without one; and what was noticed.

    Raises:
        DataError: If no object has the attribute of the user.
    """
    values: dict[str, Counter] = {}
    for outline in outlines:
        for attribute, value in outline.attributes.items():
            values.setdefault(attribute, Counter())[value] += 1
    if key is not None:
        if key not in values:
            raise DataError(f'no object has the attribute {key!r}{suggest(key, values)}; there are {sorted(values)}')
        return key, []
    usual = [name for name in _USUAL_KEYS if name in values]
    if not usual and len(values) == 1:
        usual = list(values)
    if usual:
        shown = ', '.join(f'{value} ({number})' for value, number in values[usual[0]].most_common(6))
        return usual[0], [f'fine classes are from the attribute {usual[0]!r}: {shown}']
    if values:
        return None, [f'the attributes {sorted(values)} are not used; --fine-key takes one of them as the fine class']
    return None, []


def read_name_tables(root: Path, notes: list[str]) -> list[tuple[Path, list[tuple[int, dict[str, str]]]]]:
    """The tables of a folder that give names to pictures: CSV files of a column of pictures and one of names.

    Args:
        root: The folder.
        notes: Receives the tables that are none, and columns that are called otherwise than ``image`` and
            ``fine_class``.

    Returns:
        Each file with its rows and their line numbers; the columns are called ``image``, ``fine_class``, and as in the
        file.

    Raises:
        DataError: If one of them is no table, or has the columns ``image`` and ``fine_class`` and unknown ones.
    """
    tables = []
    for path in sorted(root.glob('*.csv')):
        rows = read_table(str(path), [])
        columns = {column.lower(): column for column in rows[0][1]} if rows else {}
        image, name = (next((columns[key] for key in keys if key in columns), '') for keys in (_OF_IMAGES, _OF_NAMES))
        if not image or not (name or 'fine_id' in columns):
            if path.name not in _OTHER_TABLES:
                notes.append(f'{path} is not read: a table of names has the columns image and fine_class')
            continue
        if (image, name) == ('image', 'fine_class'):
            read_table(str(path), [image, name], ['region', 'split', 'fine_id'])
        elif name:
            notes.append(f'the columns {image!r} and {name!r} of {path} are pictures and their names')
        renamed = {image: 'image', name: 'fine_class'}
        tables.append(
            (path, [(line, {renamed.get(key, key): cell for key, cell in row.items()}) for line, row in rows])
        )
    return tables


def split_of_row(where: str, row: Mapping[str, str]) -> str:
    """The split that the row of a table gives.

    Raises:
        DataError: If its value is no split.
    """
    value = row.get('split', '')
    if value and not split_of([value])[0]:
        raise DataError(f'{where}: the split {value!r} is not train, val or test; fix the row', 'fine label')
    return split_of([value])[0]


def polygon_mask(parts: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The mask of one object that was drawn as several polygons, by COCO's rule of what is inside; (H, W) bool.

    A polygon that lies inside the others of its object is a hole in it.

    Args:
        parts: Polygons (P, 2) float, x and y in pixels.
        height, width: Size of the picture.
    """
    masks = []
    for part in parts:
        codes = coco_mask.frPyObjects([np.asarray(part, np.float64).ravel().tolist()], height, width)
        masks.append(coco_mask.decode(coco_mask.merge(codes)).astype(bool))
    masks.sort(key=np.count_nonzero, reverse=True)
    mask = np.zeros((height, width), bool)
    for one in masks:
        if one.any() and mask[one].all():
            mask &= ~one
        else:
            mask |= one
    return mask


def pixel_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask along the edges of its pixels, of parts and of holes: (P, 2) int64 each, x and y.

    Parts are clockwise on the screen, holes the other way round. Pixels that share a corner alone are parts.

    Args:
        mask: (H, W) bool.
    """
    padded = np.pad(mask.astype(bool), 1)
    inner = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # Edges have the object on their right: above, below, on the left and on the right of its pixels.
    for outside, (x1, y1, x2, y2) in (
        (padded[:-2, 1:-1], (0, 0, 1, 0)),
        (padded[2:, 1:-1], (1, 1, 0, 1)),
        (padded[1:-1, :-2], (0, 1, 0, 0)),
        (padded[1:-1, 2:], (1, 0, 1, 1)),
    ):
        for y, x in np.argwhere(inner & ~outside).tolist():
            following.setdefault((x + x1, y + y1), []).append((x + x2, y + y2))
    outlines = []
    while following:
        start = point = next(iter(following))
        corners, step = [], (0, 0)
        while True:
            ends = following[point]
            turned = point[0] - step[1], point[1] + step[0]  # to the right, which stays at the same pixel
            end = turned if turned in ends else ends[0]
            ends.remove(end)
            if not ends:
                del following[point]
            new_step = end[0] - point[0], end[1] - point[1]
            if new_step != step:
                corners.append(point)
            point, step = end, new_step
            if point == start:
                break
        outlines.append(np.array(corners))
    return outlines


def bridged_polygon(mask: np.ndarray) -> np.ndarray:
    """A polygon of a mask with all its parts and holes, joined by the shortest lines, passed there and back; (P, 2).

    It lies a quarter of a pixel inside the outlines. So it gives the same mask by the centres of the pixels, as COCO
    does, and by OpenCV's ``fillPoly`` of whole coordinates, which also fills the pixels of the polygon's own lines, and
    with them the bridges.

    Args:
        mask: (H, W) bool, not empty.
    """
    first, *others = [_inset(corners) for corners in pixel_outlines(mask)]
    polygon = np.concatenate([first, first[:1]])
    while others:
        # The nearest corners of what is joined and what is not.
        pairs = [np.abs(polygon[:, None] - other).sum(-1) for other in others]
        nearest = min(range(len(others)), key=lambda index: pairs[index].min())
        here, there = np.unravel_index(pairs[nearest].argmin(), pairs[nearest].shape)
        other = np.roll(others.pop(nearest), -there, axis=0)
        polygon = np.concatenate([polygon[: here + 1], other, other[:1], polygon[here:]])
    return polygon


def _inset(corners: np.ndarray) -> np.ndarray:
    """Corners of an outline with the object on the right of its edges, moved a quarter of a pixel into the object."""
    ahead = np.sign(np.roll(corners, -1, axis=0) - corners)
    inside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    return corners + (inside + np.roll(inside, 1, axis=0)) / 4


def circle(centre: Sequence[float], edge: Sequence[float]) -> np.ndarray:
    """A circle as a polygon (64, 2), from its centre and a point on it."""
    radius = float(np.hypot(edge[0] - centre[0], edge[1] - centre[1]))
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)


def rectangle(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    """A rectangle as a polygon (4, 2), from two opposite corners."""
    return np.array([one, (other[0], one[1]), other, (one[0], other[1])], np.float64)


def paste(mask: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A mask of a part of the picture in the whole of it, what is outside cut off; (H, W) bool."""
    whole = np.zeros((height, width), bool)
    y, x = max(top, 0), max(left, 0)
    inside = mask[y - top : max(height - top, 0), x - left : max(width - left, 0)]
    whole[y : y + inside.shape[0], x : x + inside.shape[1]] = inside > 0
    return whole


def read_map(path: Union[str, Path]) -> np.ndarray:
    """A file of labels as stored: palettes as indices, 16 and 32 bits unchanged; (H, W) or (H, W, C) integers.

    Raises:
        DataError: If it cannot be decoded.
    """
    from PIL import Image  # OpenCV turns palettes into colours

    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'{path}: not a picture, or a damaged one ({error}); write it again', 'unreadable') from error
    if values.ndim == 3:
        colours = values[..., : 1 if values.shape[2] == 2 else 3]  # and transparency, of two or four channels
        if colours.shape[2] < values.shape[2] and colours.max() == colours.min():
            values = values[..., -1]  # drawn by transparency alone
        elif (colours == colours[..., :1]).all():
            values = colours[..., 0]  # grey that was saved as colour
    return values.astype(np.uint8) if values.dtype == bool else values


def read_picture(path: Union[str, Path], flag: int) -> np.ndarray:
    """A picture by OpenCV, from a path with any letters.

    Raises:
        DataError: If it cannot be decoded.
    """
    content = np.fromfile(path, np.uint8)
    image: Optional[np.ndarray] = cv2.imdecode(content, flag) if content.size else None
    if image is None:
        raise DataError(f'{path}: not a picture, or a damaged one; write it again, or take it out', 'unreadable')
    return image


def has_few_colours(path: Path) -> bool:
    """Whether a picture has so few colours that it may be a mask."""
    try:
        values = read_picture(path, cv2.IMREAD_COLOR).astype(np.int64) @ (1, 256, 65536)
    except DataError:
        return False
    return len(np.unique(values)) <= _FEW_COLOURS
