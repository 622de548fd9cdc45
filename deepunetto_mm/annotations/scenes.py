"""What all readers return: pictures with outlines of objects, or with maps."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.picture_files import split_named

_BACKGROUND = ('background', '_background_', '__background__')
IGNORED_LABELS = ('ignore', '__ignore__', 'void', 'unlabeled', 'unlabelled')
_USUAL_KEYS = ('fine', 'fine_class', 'type', 'class', 'name', 'species', 'category', 'subtype', 'kind')
_NUMBER = re.compile(r'-?\d+(\.\d+)?(e[-+]?\d+)?')
_SUGGESTIONS = 5
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
            lead out of that dataset, a root, a drive or ``..``, is taken away, and so are spaces around a part, which
            lists and tables would lose, and dots before it, which would hide the picture.
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
        parts = [part.strip().lstrip('. ') for part in self.name.split('/')]
        self.name = '/'.join(part for part in parts if part and not part.endswith(':'))

    @property
    def place(self) -> str:
        """Its name in the written dataset: a split is the first folder."""
        return f'{self.split}/{self.name}' if self.split else self.name


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
        file: Where the picture is, or will be.
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

    @property
    def value_names(self) -> Sequence[str]:
        """The names by mask value that are given, whether as classes, specific classes or a taxonomy."""
        return self.classes or self.composed or (self.taxonomy or {}).get('classes') or ()

    def suggest(self, name: str, known: Iterable[str]) -> str:
        """What a misspelt name may have meant, in the first problems: to look through many names takes seconds."""
        return suggest(name, known) if len(self.problems) < _SUGGESTIONS else ''


def split_of(parts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The split that a folder's name says, and the other folders."""
    for position, part in enumerate(parts):
        if split := split_named(part):
            rest = parts[position + 1 :]
            # An archive unpacked in a folder of its own name; but the last folder may be a class, of trains.
            rest = rest[1:] if len(rest) > 1 and rest[0] == part else rest
            return split, (*parts[:position], *rest)
    return '', tuple(parts)


def plain(name: str) -> str:
    """A name as a taxonomy and a table have it: without spaces around it, a letter and its mark as one character."""
    return unicodedata.normalize('NFC', name.strip())


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
    if not usual and len(values) == 1:  # but for one of numbers, such as the track_id that CVAT writes
        usual = [name for name, own in values.items() if not all(map(_NUMBER.fullmatch, own))]
    if usual:
        shown = ', '.join(f'{value} ({number})' for value, number in values[usual[0]].most_common(6))
        return usual[0], [f'fine classes are from the attribute {usual[0]!r}: {shown}']
    if values:
        return None, [f'the attributes {sorted(values)} are not used; --fine-key takes one of them as the fine class']
    return None, []
