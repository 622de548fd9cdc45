"""What labels of outlines and values of masks mean: the taxonomy, and the class and name of each."""

from __future__ import annotations

from collections import Counter
from typing import Iterable, Optional, Sequence

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError

from .scenes import IGNORED_LABELS, Annotations, Outline

# Share of the objects that touch one of another label, above which labels are no names of one kind of object.
_APART = 0.1
_MOST_KINDS = 254  # in masks of 8 bits, with the background and 255, which is ignored
_GREY_LEVELS = 40  # more values than this in grey masks are no classes
_DARK = 64  # grey levels up to this would hardly be seen beside white
_AT_ENDS, _BLACK_OR_WHITE = 24, 0.75  # grey levels from black and white, and share of the pixels there


def taxonomy_of_labels(
    objects: Sequence[Outline], touching: float, notes: list[str]
) -> tuple[Taxonomy, dict[tuple[str, str], tuple[str, str]]]:
    """What the labels of outlines mean.

    Args:
        objects: The outlines of all pictures.
        touching: Share of those that touch one of another kind.
        notes: Receives what was decided.

    Returns:
        The taxonomy; and, by kind and name, group and fine class.

    Raises:
        DataError: If there is no object, or more kinds than a mask has values for.
    """
    counts = Counter((outline.kind, outline.name) for outline in objects)
    kinds = list(dict.fromkeys(kind for kind, _ in sorted(counts)))
    if not kinds:
        raise DataError('; '.join(['no picture has an object: there is nothing to learn', *notes[:3]]))
    names: dict[str, list[str]] = {kind: [] for kind in kinds}
    for kind, name in sorted(counts):
        if name:
            names[kind].append(name)
    taken = Counter(['background', *(name for kind, own in names.items() for name in own or [kind])])
    if not any(names.values()) and len(kinds) > 1 and touching <= _APART:
        notes.append(
            f'the labels {_some(kinds)} have no kinds above them (as in cell/neutrophil): they are taken as the '
            f'names of one kind, object; {100 * touching:.0f} % of the objects touch one of another label'
        )
        group = dict(name='object', members=['object'], fine_classes=kinds)
        taxonomy = dict(classes=['background', 'object'], groups=[group])
        return Taxonomy.from_dict(taxonomy), {(kind, ''): ('object', kind) for kind in kinds}
    if not any(names.values()) and len(kinds) > 1:
        notes.append(
            f'the labels {_some(kinds)} are segmentation classes of their own: {100 * touching:.0f} % of the '
            'objects touch one of another label, which would be one object if they were names of one kind'
        )
    if len(kinds) > _MOST_KINDS:
        raise DataError(
            f'{len(kinds)} kinds of objects ({_some(kinds)}), and a mask has values for {_MOST_KINDS}: bring them '
            'under fewer kinds, by labels KIND/NAME or by supercategories of COCO'
        )
    groups, fine_of = [], {}
    for kind in kinds:
        unique = {name: f'{kind} {name}' if taken[name] > 1 else name for name in names[kind]}
        groups.append(dict(name=kind, members=[kind], fine_classes=list(unique.values()) or [kind]))
        fine_of.update({(kind, name): (kind, fine) for name, fine in unique.items()})
        fine_of[kind, ''] = (kind, '' if unique else kind)
    return Taxonomy.from_dict(dict(classes=['background', *kinds], groups=groups)), fine_of


def taxonomy_of_values(
    values: Counter[int], smoothed: bool, fine: Sequence[str], with_regions: bool, found: Annotations, notes: list[str]
) -> tuple[Taxonomy, Optional[list[str]], dict[int, int]]:
    """What the values of masks mean.

    Args:
        values: Pixels of all masks by value; empty if there are maps of ids alone.
        smoothed: Whether the masks are black and white, with greys in between.
        fine: The fine classes of pictures and regions.
        with_regions: Whether there are maps of ids.
        found: The names of the values, or a taxonomy, if something gives them.
        notes: Receives what was decided.

    Returns:
        The taxonomy; names of the classes in the masks, if these have the specific ones; and class by value, empty if
        the values are the classes.

    Raises:
        DataError: If the values are no classes, or objects have names and no class.
    """
    classes = _classes_of_values(values, smoothed, len(found.value_names), notes) if values else {}
    names, classes = _without_ignored(list(found.classes or []), values, classes, notes)
    if found.taxonomy is not None:
        return Taxonomy.from_dict(found.taxonomy), found.composed, classes
    if not names and not values:
        names = ['background', 'object']
    elif not names:
        labels = sorted({value for value in classes.values() or values if value != 255})
        names = ['background', *(f'class {value}' for value in range(1, labels[-1] + 1))]
        if len(names) == 2:
            names[1] = 'object'
        elif not (with_regions or fine):
            names[0] = 'class 0'  # it need not be the background
        notes.append(
            f'the mask values {labels} have no names: they are called {_some(names)}; name them by '
            '--classes, or in classes.json'
        )
    front, groups, composed = names[1:], [], None
    if fine and not front:
        raise DataError(
            f'the masks have no class but {names[0]!r}, and objects have names ({_some(fine)}): give the pixels of '
            'objects a value above 0, or leave the masks out'
        )
    if names[0] in fine:
        raise DataError(
            f'{names[0]!r} is what is around the objects, and the name of one: leave it out of the table for pictures '
            f'without an object, or rename it (--rename {names[0]}=...)'
        )
    if fine:
        group = 'object' if len(front) > 1 else front[0]
        group = group if group not in names[:1] else 'thing'
        notes.append(f'an object is made of {_some(front)}, and {names[0]!r} is what is around it')
        groups = [dict(name=group, members=front, fine_classes=list(fine))]
    elif with_regions or len(front) == 1:
        groups, composed = [dict(name=name, members=[name], fine_classes=[name]) for name in front], names
    else:
        notes.append(
            'nothing says which classes are objects: classes are segmented, and no object is named; a classes.json '
            'with kinds says it (docs/plan.md)'
        )
    return Taxonomy.from_dict(dict(classes=names, groups=groups)), composed, classes


def _classes_of_values(values: Counter[int], smoothed: bool, named: int, notes: list[str]) -> dict[int, int]:
    """Classes of mask values that are grey levels, by value; nothing if the values, or ``named`` ones, are classes."""
    ordered = sorted(values)
    if smoothed or (len(ordered) > _GREY_LEVELS and is_black_and_white(values)):
        notes.append(
            'the masks are black and white, with greys in between, as smoothing and JPEG leave them: from 128 on '
            'their values were read as class 1'
        )
        return {value: int(value >= 128) for value in ordered}
    white = ordered[-1]
    if white in (2**8 - 1, 2**16 - 1) and set(values) <= {0, white}:
        usual = ' (in a mask of classes it is ignored)' * (white == 255)
        notes.append(f'the masks have the values 0 and {white}: {white} was read as class 1{usual}')
        return {0: 0, white: 1}
    without = [value for value in ordered if value != 255]
    few = len(ordered) <= _GREY_LEVELS and without[-1] < 256
    if without[-1] < max(named, (2 * len(without) + 4) * few):
        return {}
    if not few:
        raise DataError(
            f'the masks have {len(ordered)} values up to {ordered[-1]}: pictures, or ids of objects '
            '(--masks-are ids), or classes that need names (--classes)'
        )
    if without[-1] < _DARK and 255 in ordered:  # white around objects of low numbers, as in Pascal VOC
        ordered = without
    ignored = ', and 255 is ignored' * (255 in values and 255 not in ordered)
    notes.append(f'the mask values {ordered} were read as the classes 0 to {len(ordered) - 1}{ignored}')
    return {value: index for index, value in enumerate(ordered)}


def _without_ignored(
    names: list[str], values: Iterable[int], classes: dict[int, int], notes: list[str]
) -> tuple[list[str], dict[int, int]]:
    """Names, and classes by mask value, without those whose name says that they are ignored, but for the first."""
    kept = [index for index, name in enumerate(names) if index == 0 or name.lower() not in IGNORED_LABELS]
    if len(kept) == len(names):
        return names, classes
    gone = sorted(set(range(len(names))) - set(kept))
    notes.append(f'pixels of {_some([names[index] for index in gone])} are ignored')
    places = {**dict.fromkeys(gone, 255), **{index: place for place, index in enumerate(kept)}}
    indices = {value: classes.get(value, value) for value in values}
    return [names[index] for index in kept], {value: places.get(index, index) for value, index in indices.items()}


def is_black_and_white(values: Counter[int]) -> bool:
    """Whether nearly all pixels of masks are black or white, some white, and greys between them are light and dark.

    Many classes of low values beside 255, which is ignored, have no light grey.
    """
    light, dark = any(127 < value < 255 for value in values), any(0 < value < 128 for value in values)
    white = sum(number for value, number in values.items() if 255 - _AT_ENDS < value < 256)
    black = sum(number for value, number in values.items() if value < _AT_ENDS)
    return white > 0 and white + black > _BLACK_OR_WHITE * values.total() and (light or not dark)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')
