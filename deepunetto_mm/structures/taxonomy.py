"""The coarse-to-fine taxonomy: segmentation classes, groups, and the fine classes of each group."""

from __future__ import annotations

import reprlib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Mapping, Optional, Sequence, Union


class TaxonomyError(ValueError):
    """A taxonomy contradicts itself, or two taxonomies that must agree differ."""


_WIDE = 2**15 - 1  # the largest label that maps of 16 bits have, signed ones too


@dataclass(frozen=True)
class Group:
    """A generic type of object.

    Attributes:
        name: Name of the group, e.g. ``'cell'``.
        members: Segmentation classes whose union is the object, e.g. ``('cytoplasm', 'nucleus')``.
        fine_classes: Fine classes that an object of this group can have.
    """

    name: str
    members: tuple[str, ...]
    fine_classes: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Segmentation classes, the groups of objects made of them, and the fine classes of each group.

    Three label spaces follow from it, each indexed from 0:

    - *segmentation classes*, in the order of ``classes``: predicted by the segmentation branch for a pixel;
    - *fine classes*, group after group: predicted by the fine branch for a region;
    - *composed classes*, the stuff classes (those in no group) and then the fine classes: both together.

    Attributes:
        classes: Names of the segmentation classes.
        groups: Object types; no class may belong to two of them. May be empty: plain segmentation.
        ignore_index: Label of pixels that are not counted, in segmentation maps. In composed maps it is
            :attr:`composed_ignore_index`.

    Raises:
        TaxonomyError: If the parts contradict each other; the message names the faulty part.
    """

    classes: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    ignore_index: int = 255

    def __post_init__(self) -> None:
        _require_names('classes', self.classes)
        _require_unique('segmentation class', self.classes)
        if self.groups:
            _require_names('groups', [group.name for group in self.groups])
        _require_unique('group', [group.name for group in self.groups])
        owner: dict[str, str] = {}
        for group in self.groups:
            _require_names(f'members of group {group.name!r}', group.members)
            _require_names(f'fine_classes of group {group.name!r}', group.fine_classes)
            for member in group.members:
                if member not in self.classes:
                    raise TaxonomyError(
                        f'group {group.name!r} has the member {member!r}, which is not a segmentation class; '
                        f'classes are {list(self.classes)}'
                    )
                if member in owner:
                    raise TaxonomyError(
                        f'segmentation class {member!r} is in group {owner[member]!r} and again in group '
                        f'{group.name!r}; a class may belong to one group, once'
                    )
                owner[member] = group.name
        # A fine class with the name of a stuff class would give two composed classes the same name.
        _require_unique('fine or stuff class', self.composed_classes)
        if max(len(self.classes), len(self.composed_classes)) > _WIDE:
            raise TaxonomyError(f'at most {_WIDE} segmentation classes and {_WIDE} composed classes are supported')
        if isinstance(self.ignore_index, bool) or not isinstance(self.ignore_index, int):
            raise TaxonomyError(f'ignore_index must be an integer, got {reprlib.repr(self.ignore_index)}')
        if not -(2**63) <= self.ignore_index < 2**63:
            raise TaxonomyError('ignore_index does not fit into 64 bits; choose another, such as 255')
        if 0 <= self.ignore_index < len(self.classes):
            raise TaxonomyError(
                f'ignore_index {self.ignore_index} collides with a label: {len(self.classes)} segmentation classes use '
                f'0..{len(self.classes) - 1}; choose another, such as {_ignored_beside(len(self.classes))}'
            )

    @classmethod
    def from_dict(cls, cfg: Union[Mapping[str, Any], Taxonomy]) -> Taxonomy:
        """Build a taxonomy from its config form, as in ``metainfo`` and checkpoints.

        Args:
            cfg: ``dict(classes=[...], groups=[dict(name=..., members=[...], fine_classes=[...])], ignore_index=255)``.
                A :class:`Taxonomy` is returned unchanged.

        Returns:
            The same object for the same content: metrics and visualizers, which are given a dict, ask for each batch.

        Raises:
            TaxonomyError: If a key is unknown or missing, or the taxonomy contradicts itself.
        """
        if isinstance(cfg, Taxonomy):
            return cfg
        _require_keys('taxonomy', cfg, required={'classes'}, optional={'groups', 'ignore_index'})
        listed = cfg.get('groups', ())
        if isinstance(listed, str) or not isinstance(listed, Sequence):
            raise TaxonomyError(f'groups must be a list of dicts, got {reprlib.repr(listed)}')
        groups = []
        for group in listed:
            _require_keys('group of the taxonomy', group, required={'name', 'members', 'fine_classes'})
            groups.append(Group(group['name'], _as_tuple(group['members']), _as_tuple(group['fine_classes'])))
        classes = _as_tuple(cfg['classes'])
        parts = classes, tuple(groups), cfg.get('ignore_index', _ignored_beside(len(classes)))
        try:
            return _build_once(*parts)
        except TypeError:  # a name that cannot be hashed is not a name, and the error says which
            return cls(*parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers: safe to pickle, to dump as JSON, and to load with ``weights_only=True``."""
        return dict(
            classes=list(self.classes),
            groups=[
                dict(name=group.name, members=list(group.members), fine_classes=list(group.fine_classes))
                for group in self.groups
            ],
            ignore_index=self.ignore_index,
        )

    @property
    def composed_ignore_index(self) -> int:
        """Label of pixels that are not counted in composed maps: ``ignore_index``, unless a composed class has it.

        With more than 255 composed classes 255 is one of them, though masks of fewer segmentation classes ignore it.
        """
        free = not 0 <= self.ignore_index < len(self.composed_classes)
        return self.ignore_index if free else _WIDE

    @cached_property
    def fine_classes(self) -> tuple[str, ...]:
        """Names of the K fine classes, group after group."""
        return tuple(name for group in self.groups for name in group.fine_classes)

    @cached_property
    def stuff_classes(self) -> tuple[str, ...]:
        """Names of the segmentation classes that are in no group."""
        members = {member for group in self.groups for member in group.members}
        return tuple(name for name in self.classes if name not in members)

    @cached_property
    def composed_classes(self) -> tuple[str, ...]:
        """Names of the composed label space: stuff, then fine classes."""
        return self.stuff_classes + self.fine_classes

    @cached_property
    def group_of_class(self) -> tuple[int, ...]:
        """Group index of each segmentation class; -1 for stuff."""
        index = {member: g for g, group in enumerate(self.groups) for member in group.members}
        return tuple(index.get(name, -1) for name in self.classes)

    @cached_property
    def group_of_fine(self) -> tuple[int, ...]:
        """Group index of each fine class."""
        return tuple(g for g, group in enumerate(self.groups) for _ in group.fine_classes)

    @cached_property
    def composed_of_class(self) -> tuple[int, ...]:
        """Composed label of each segmentation class; -1 for members of groups, whose regions get a fine label."""
        index = {name: i for i, name in enumerate(self.stuff_classes)}
        return tuple(index.get(name, -1) for name in self.classes)

    @cached_property
    def composed_of_fine(self) -> tuple[int, ...]:
        """Composed label of each fine class."""
        return tuple(range(len(self.stuff_classes), len(self.composed_classes)))

    @cached_property
    def fine_of_class(self) -> tuple[int, ...]:
        """Fine class that each segmentation class implies: its group's of the same name, or only one; -1 if none."""
        implied = {}
        for g, group in enumerate(self.groups):
            for member in group.members:
                if member in group.fine_classes or len(group.fine_classes) == 1:
                    name = member if member in group.fine_classes else group.fine_classes[0]
                    implied[member] = self.fine_index(name, g)
        return tuple(implied.get(name, -1) for name in self.classes)

    @cached_property
    def outside_of_class(self) -> tuple[int, ...]:
        """Composed label of each segmentation class outside of any region; -1 for members that imply no fine class."""
        return tuple(
            own if fine < 0 else self.composed_of_fine[fine]
            for own, fine in zip(self.composed_of_class, self.fine_of_class)
        )

    @cached_property
    def class_of_fine(self) -> tuple[int, ...]:
        """Segmentation class of each fine class: its group's member of the same name, or only one; -1 if none."""
        members = [group.members for group in self.groups for _ in group.fine_classes]
        return tuple(
            self.classes.index(name if name in own else own[0]) if name in own or len(own) == 1 else -1
            for name, own in zip(self.fine_classes, members)
        )

    @cached_property
    def class_of_composed(self) -> tuple[int, ...]:
        """Segmentation class of each composed class: stuff is itself, and then :attr:`class_of_fine`."""
        return tuple(self.classes.index(name) for name in self.stuff_classes) + self.class_of_fine

    def children(self, group: int) -> tuple[int, ...]:
        """Indices of the fine classes that a group allows."""
        return tuple(k for k, g in enumerate(self.group_of_fine) if g == group)

    def fine_index(self, name: str, group: Optional[int] = None) -> int:
        """Index of a fine class by its name.

        Args:
            name: Name of the fine class.
            group: If given, the group that must allow it.

        Raises:
            TaxonomyError: If there is no such fine class, or the group does not allow it.
        """
        if name not in self.fine_classes:
            raise TaxonomyError(f'{name!r} is not a fine class of the taxonomy, which has {list(self.fine_classes)}')
        index = self.fine_classes.index(name)
        if group is not None and self.group_of_fine[index] != group:
            raise TaxonomyError(
                f'group {self.groups[group].name!r} does not allow the fine class {name!r}; it allows '
                f'{list(self.groups[group].fine_classes)}'
            )
        return index

    def difference(self, other: Taxonomy) -> str:
        """The differences of ``other`` from this taxonomy, in words; an empty string if they are equal.

        Order counts, since labels are positions.
        """
        changes = [_sequence_difference('classes', self.classes, other.classes)]
        changes.append(_sequence_difference('groups', self._group_names, other._group_names))
        theirs = {group.name: group for group in other.groups}
        for group in self.groups:
            if group.name in theirs:
                match = theirs[group.name]
                changes.append(_sequence_difference(f'members of {group.name!r}', group.members, match.members))
                changes.append(
                    _sequence_difference(f'fine classes of {group.name!r}', group.fine_classes, match.fine_classes)
                )
        if self.ignore_index != other.ignore_index:
            changes.append(f'ignore_index: {self.ignore_index} became {other.ignore_index}')
        return '; '.join(change for change in changes if change)

    @property
    def _group_names(self) -> tuple[str, ...]:
        return tuple(group.name for group in self.groups)


@lru_cache(maxsize=64, typed=True)
def _build_once(*parts: Any) -> Taxonomy:
    return Taxonomy(*parts)


def _ignored_beside(count: int) -> int:
    return 255 if count <= 255 else _WIDE


def _as_tuple(names: Any) -> tuple[str, ...]:
    # tuple('cell') would look like four classes of one letter each.
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TaxonomyError(f'expected a list of names, got {reprlib.repr(names)}')
    # A letter with a mark is one character or two: files and configs may differ in it, and names are the same.
    return tuple(unicodedata.normalize('NFC', name) if isinstance(name, str) else name for name in names)


def _require_keys(what: str, cfg: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> None:
    if not isinstance(cfg, Mapping):
        raise TaxonomyError(f'{what} must be a dict, got {reprlib.repr(cfg)}')
    missing, unknown = required - set(cfg), set(cfg) - required - set(optional)
    if missing or unknown:
        raise TaxonomyError(
            f'{what}: missing keys {sorted(missing)}, unknown keys {sorted(unknown, key=str)}; '
            f'it takes {sorted(required | set(optional))}'
        )


def _require_names(what: str, names: Sequence[str]) -> None:
    if not names:
        raise TaxonomyError(f'{what}: empty; name at least one')
    for name in names:
        # A lone surrogate, which JSON can contain, cannot be written to a file or log.
        if not isinstance(name, str) or not name.strip() or any('\ud800' <= letter <= '\udfff' for letter in name):
            raise TaxonomyError(f'{what}: {reprlib.repr(name)} is not a name')


def _require_unique(what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TaxonomyError(f'{what} listed more than once: {twice}')


def _sequence_difference(what: str, ours: Sequence[str], theirs: Sequence[str]) -> str:
    if tuple(ours) == tuple(theirs):
        return ''
    gone = [name for name in ours if name not in theirs]
    new = [name for name in theirs if name not in ours]
    if not gone and not new:
        return f'{what}: order {list(ours)} became {list(theirs)}'
    return f'{what}: ' + ', '.join(part for part in (gone and f'without {gone}', new and f'with {new}') if part)
