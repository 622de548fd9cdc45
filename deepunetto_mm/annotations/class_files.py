"""The file that names the classes of masks: as a taxonomy, a list, or with their colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import read_json, read_table, read_text

from .scenes import Annotations

CLASS_FILES = ('classes.json', 'taxonomy.json')
# Of CVAT's "segmentation mask", and of CamVid and many others.
_COLOUR_FILES = {
    'labelmap.txt': r'^([^#:\n][^:\n]*):(\d+),(\d+),(\d+):',
    'class_dict.csv': r'^([^,\n]+),\s*(\d+),\s*(\d+),\s*(\d+)\s*$',
}
_LISTS = ('classes.txt', 'class_names.txt', 'codes.txt')  # a name in a line


def read_classes(root: Path, found: Annotations) -> None:
    """The names of the classes: a taxonomy, a list of names by mask value, or stuff and kinds of specific classes."""
    places = [root / name for name in (*_COLOUR_FILES, *CLASS_FILES, *_LISTS)]
    path = next((path for path in [*places, *sorted(root.glob('**/_classes.csv'))] if path.is_file()), None)
    if path is None:
        return
    if path.name in _COLOUR_FILES:
        _read_colours(path, found)
        return
    content: Any
    if path.name in _LISTS:
        lines = [line.strip() for line in read_text(str(path)).rstrip().splitlines()]
        if '' in lines:
            raise DataError(
                f'{path}, line {lines.index("") + 1}: no name, and a name in a line is that of the next mask value; '
                'remove the line, or write a name for the value'
            )
        # Labelme's list begins with what is ignored, and has no value.
        content = [line for line in lines if line != '__ignore__']
    elif path.suffix == '.csv':
        content = _names_by_value(path)
    else:
        content = read_json(str(path))
    if isinstance(content, dict) and isinstance(content.get('taxonomy'), dict):
        content = dict(content['taxonomy'], **{key: value for key, value in content.items() if key == 'composed'})
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        found.classes = content
    elif _has_kinds(content):
        stuff, kinds = content.get('stuff', ['background']), content['kinds']
        groups = [dict(name=kind, members=[kind], fine_classes=names) for kind, names in kinds.items()]
        found.taxonomy = dict(classes=[*stuff, *kinds], groups=groups)
        found.composed = content.get('composed', [*stuff, *(name for names in kinds.values() for name in names)])
    elif isinstance(content, dict) and 'classes' in content:
        found.composed = content.get('composed')
        found.taxonomy = {key: value for key, value in content.items() if key != 'composed'}
    else:
        raise DataError(
            f'{path}: a list of the names of the mask values, a taxonomy with "classes" and "groups", or "stuff" and '
            '"kinds" were expected; see docs/plan.md'
        )
    if found.taxonomy is not None:
        try:
            found.taxonomy = Taxonomy.from_dict(found.taxonomy).to_dict()
        except TaxonomyError as error:
            raise DataError(f'{path}: {error}; fix the file') from error
    found.notes.append(f'the names of the classes are from {path}')


def _read_colours(path: Path, found: Annotations) -> None:
    """Classes and their colours, ``name:red,green,blue::`` or ``name,red,green,blue``; the background comes first."""
    rows = re.findall(_COLOUR_FILES[path.name], read_text(str(path)).replace('\r', ''), re.MULTILINE)
    rows.sort(key=lambda row: row[0].lower() != 'background')
    if not rows:
        raise DataError(f'{path}: no line has a name and the red, green and blue of its colour')
    found.classes = [name for name, *_ in rows]
    for index, (name, *colour) in enumerate(rows):
        red, green, blue = map(int, colour)
        other = found.colours.setdefault(65536 * red + 256 * green + blue, index)
        if other != index:
            raise DataError(
                f'{path}: {found.classes[other]!r} and {name!r} have the same colour, {",".join(colour)}; take one '
                'out, or give it the colour that it has in the masks'
            )
    found.notes.append(f'the names and colours of the classes are from {path}')


def _names_by_value(path: Path) -> list[str]:
    """The names in a table of Roboflow's masks, with the columns ``Pixel Value`` and ``Class``, by value."""
    rows = [row for _, row in read_table(str(path), [])]
    names = [next(reversed(row.values())) for row in rows]
    column = next((column for column in rows[0] if column.lower() == 'pixel value'), None) if rows else None
    if column is None:
        return names
    values = [row[column] for row in rows]
    if set(values) != set(map(str, range(len(rows)))):
        raise DataError(
            f'{path}: the column {column!r} has {values[:20]}; number the classes from 0 to {len(rows) - 1}, each once'
        )
    return [names[values.index(str(value))] for value in range(len(rows))]


def _has_kinds(content: Any) -> bool:
    kinds = content.get('kinds') if isinstance(content, dict) else None
    if not isinstance(kinds, dict):
        return False
    return all(
        isinstance(names, list) for names in (*kinds.values(), content.get('stuff', []), content.get('composed', []))
    )
