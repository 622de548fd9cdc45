"""Annotations in the layout of ``CoarseFineDataset``: pictures, masks, region maps, the table and the taxonomy."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import numpy as np
from pycocotools import mask as coco_mask
from rich.progress import track

from deepunetto_mm.ops import number_regions, touching_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, UsageError, suggest
from deepunetto_mm.utils.files import csv_bytes, read_json, write_png, write_whole

from .pictures import is_lossy, read_class_map, read_id_map, read_map, require_same_colours
from .placed_pictures import PlacedPictures
from .scenes import Annotations, Outline, Scene, choose_names, plain
from .taxonomies import is_black_and_white, taxonomy_of_labels, taxonomy_of_values
from .written_dataset import WrittenDataset

_LARGEST_ID = 2**16 - 1
# In classes.json, so that no folder of a user is taken for one that was written here.
_MARK = dict(written_by='deepunetto_mm')


def write_dataset(
    found: Annotations,
    root: Path,
    renamed: Optional[Mapping[str, str]] = None,
    fine_key: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
) -> WrittenDataset:
    """Write all pictures of some annotations, as links, and their maps.

    Args:
        found: Of :func:`read_annotations`.
        root: Output folder; an earlier dataset of this function is replaced.
        renamed: Other names for labels and fine classes, such as those with a slip.
        fine_key: The attribute that has the fine class; None to look for it.
        classes: Names of the mask values, for masks of classes.

    Raises:
        DataError: If nothing can be written. Errors of single pictures are collected.
        UsageError: If the folder holds something else, or the annotations themselves, or no object has a name that is
            to be another one, or there are no mask values that ``classes`` could name.
    """
    if root.exists() and any(root.iterdir()) and not _is_written(root):
        raise UsageError(f'{root} holds something else than a written dataset; remove it, or use another folder')
    if any(scene.source.resolve().is_relative_to(root.resolve()) for scene in found.scenes):
        raise UsageError(f'{root} is what is read, and would be replaced; use another output folder')
    if classes and found.taxonomy is not None:
        raise UsageError('--classes: a file in the folder gives a taxonomy, which has the names; leave one of them out')
    if classes and not any(scene.label_map or scene.region_map for scene in found.scenes):
        raise UsageError(
            '--classes names the values of masks, and none are read here: leave it out; --rename OLD=NEW renames labels'
        )
    named = replace(found, classes=list(classes) if classes else found.classes)
    return _Writer(named, root, dict(renamed or {})).run(fine_key)


def _is_written(root: Path) -> bool:
    """Whether a folder is a dataset of :func:`write_dataset`, which may be replaced."""
    path = root / 'classes.json'
    content = read_json(str(path)) if path.is_file() else None
    return isinstance(content, dict) and _MARK.items() <= content.items()


def _empty(root: Path) -> None:
    """Make a folder empty or new. The folder itself stays, which may be a link to one, or another disk."""
    folder = root.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise UsageError(f'{root} cannot be emptied ({error}); remove it, or use another folder') from error


class _Writer:
    def __init__(self, found: Annotations, root: Path, renamed: dict[str, str]) -> None:
        self.found, self.root = found, root
        self.renamed = {plain(old): plain(new) for old, new in renamed.items()}
        self.problems, self.notes = list(found.problems), list(found.notes)
        self.scenes = list(found.scenes)
        self.rows: list[tuple[str, str, str]] = []  # picture, region, fine class
        self.given: set[str] = set()  # names before they were renamed
        self.pictures = PlacedPictures(root, [scene.picture for scene in found.scenes], self.notes)

    def run(self, fine_key: Optional[str]) -> WrittenDataset:
        found = self.found
        without = [scene for scene in found.scenes if not scene.split]
        if 0 < len(without) < len(found.scenes):  # before anything has its place
            self.notes.append(f'{len(without)} of {len(found.scenes)} pictures are in no split: train')
            for scene in without:
                scene.split = 'train'
        self._leave_out_equal_names()
        drawn = any(scene.outlines for scene in self.scenes) or not any(
            scene.label_map or scene.region_map for scene in self.scenes
        )
        (self._name if drawn else self._name_maps)(fine_key)
        _empty(self.root)  # not before the options are known to be right
        write_whole(self.root / 'classes.json', json.dumps(_MARK).encode())
        if drawn:
            taxonomy, written = self._write_outlines()
            regions, composed = True, None
        else:
            taxonomy, composed, written, regions = self._write_maps()
        if not written:
            first = f': {self.problems[0]}' if self.problems else ''
            raise DataError(f'no picture can be used, of {len(found.scenes)}{first}')
        if self.rows:
            write_whole(self.root / 'labels.csv', csv_bytes(('image', 'region', 'fine_class'), self.rows))
        content = dict(_MARK, taxonomy=taxonomy.to_dict(), composed=composed)
        write_whole(self.root / 'classes.json', json.dumps(content, indent=1, ensure_ascii=False).encode())
        splits = {scene.place: scene.split for scene in written if scene.split}
        return WrittenDataset(
            self.root,
            taxonomy,
            self.pictures.suffix,
            splits,
            composed,
            found.whole,
            regions,
            bool(self.rows),
            self.problems,
            self.notes,
        )

    def _leave_out_equal_names(self) -> None:
        """Which of several pictures of a name is meant, or which of its annotations, only a user knows."""
        of_place: dict[str, list[Scene]] = {}
        for scene in self.scenes:
            of_place.setdefault(scene.place, []).append(scene)
        self.scenes = [own[0] for own in of_place.values() if len(own) == 1]
        for own in [own for own in of_place.values() if len(own) > 1]:
            pictures, sources = (
                ' and '.join(sorted({str(getattr(one, key)) for one in own})) for key in ('picture', 'source')
            )
            message = f'{pictures} have the same name, {own[0].name!r}; rename all but one'
            if len({one.picture for one in own}) == 1:
                message = f'{pictures} is annotated {len(own)} times, in {sources}; keep one of them'
            self.problems.append(DataError(message, 'equal names'))

    # ------------------------------------------------------------------------------------------------- outlines
    def _name(self, fine_key: Optional[str]) -> None:
        """Give objects their fine class from attributes, and apply the other names."""
        outlines = [outline for scene in self.scenes for outline in scene.outlines]
        key = None
        if fine_key is not None or not any(outline.name for outline in outlines):
            key, notes = choose_names(outlines, fine_key)
            self.notes += notes
        for scene in self.scenes:
            scene.outlines = [
                replace(one, kind=self._new(one.kind), name=self._new(one.name or one.attributes.get(key or '', '')))
                for one in scene.outlines
            ]
        self._require_given()

    def _name_maps(self, fine_key: Optional[str]) -> None:
        """Give pictures the fine class of their first folder, if a user says so, and apply the other names."""
        if fine_key not in (None, 'folder'):
            raise UsageError(f'--fine-key {fine_key}: masks have no attributes; only folder is possible')
        if fine_key and self.found.composed is not None:
            raise UsageError('--fine-key folder: the values of the masks are names of objects already; leave it out')
        for scene in self.scenes:
            if fine_key:
                scene.picture_name = scene.name.partition('/')[0] if '/' in scene.name else ''
            scene.picture_name = self._new(scene.picture_name)
            scene.region_names = {region: self._new(name) for region, name in scene.region_names.items()}
        self._require_given()

    def _new(self, name: str) -> str:
        name = plain(name)
        self.given.add(name)
        return self.renamed.get(name, name)

    def _require_given(self) -> None:
        for old in self.renamed:
            if old not in self.given:
                shown = ', '.join(sorted(self.given - {''})[:20])
                raise UsageError(
                    f'--rename {old}=...: no object is called so{suggest(old, self.given)}; names: {shown}'
                )

    def _leave_out(self, scene: Scene, error: DataError) -> None:
        """Report a picture, and take it away if it was placed: without a mask it would be an error."""
        self.problems.append(error)
        self.pictures.remove(scene)

    def _write_outlines(self) -> tuple[Taxonomy, list[Scene]]:
        written: list[tuple[Scene, list[Outline], np.ndarray]] = []
        touching: Counter[bool] = Counter()
        unseen: list[Path] = []
        for scene in track(self.scenes, 'Drawing'):
            try:
                height, width = self.pictures.place(scene)
                outlines, ids, region_map = _draw_regions(scene, height, width)
            except DataError as error:
                self._leave_out(scene, error)
                continue
            areas = [outline for outline in scene.outlines if not (outline.is_background or outline.is_ignored)]
            unseen += [scene.source] * (len(areas) - len(outlines))
            labels = dict(zip(ids.tolist(), outlines))
            others = {
                id_
                for pair in touching_regions(region_map)
                for id_ in pair
                if all(number in labels for number in pair) and labels[pair[0]].kind != labels[pair[1]].kind
            }
            touching.update({True: len(others), False: len(ids) - len(others)})
            write_png(self.root / 'regions' / f'{scene.place}.png', region_map.astype(np.uint16))
            written.append((scene, outlines, ids))
        if not written:
            return Taxonomy(('background',)), []
        if unseen:
            self.notes.append(
                f'{len(unseen)} objects have no pixel and are left out, such as in {unseen[0]}: they are outside of '
                'their picture, too thin, or under others'
            )
        objects = [outline for _, outlines, _ in written for outline in outlines]
        taxonomy, fine_of = taxonomy_of_labels(objects, touching[True] / max(1, touching.total()), self.notes)
        for scene, outlines, ids in written:
            path = self.root / 'regions' / f'{scene.place}.png'
            region_map = read_map(path)
            class_of_id = np.zeros(_LARGEST_ID + 1, np.uint16)
            class_of_id[_LARGEST_ID] = taxonomy.ignore_index
            for outline, id_ in zip(outlines, ids.tolist()):
                group, fine = fine_of[outline.kind, outline.name]
                class_of_id[id_] = taxonomy.classes.index(group)
                if fine:
                    self.rows.append((scene.place, '' if self.found.whole else str(id_), fine))
            mask = class_of_id[region_map]
            write_png(self.root / 'masks' / f'{scene.place}.png', mask.astype(np.uint8))
            if (region_map == _LARGEST_ID).any():
                region_map = np.where(region_map == _LARGEST_ID, 0, region_map)
                write_png(path, region_map.astype(np.uint16))
        return taxonomy, [scene for scene, _, _ in written]

    # ----------------------------------------------------------------------------------------------------- maps
    def _write_maps(self) -> tuple[Taxonomy, Optional[list[str]], list[Scene], bool]:
        usable, values, in_jpeg = self._read_maps()
        if not usable:
            return Taxonomy(('background',)), None, [], False
        fine = {name for scene in usable for name in (scene.picture_name, *scene.region_names.values()) if name}
        with_regions = usable[0].region_map is not None
        taxonomy, composed, class_of_value = taxonomy_of_values(
            values, in_jpeg, sorted(fine), with_regions, self.found, self.notes
        )
        highest, colours, written = len(composed or taxonomy.classes) - 1, self.found.colours, []
        for scene in usable:
            regions = None if scene.region_map is None else read_id_map(scene.region_map)
            mask = np.asarray(regions) > 0 if scene.label_map is None else read_class_map(scene.label_map, colours)
            if regions is not None and scene.left_out:
                gone = np.isin(regions, sorted(scene.left_out))
                mask, regions = np.where(gone, taxonomy.ignore_index, mask), np.where(gone, 0, regions)
            if class_of_value:
                mask = np.array([class_of_value.get(value, 255) for value in range(max(values) + 1)])[mask]
            unknown = np.unique(mask[(mask > highest) & (mask != 255)])
            try:
                if len(unknown):
                    raise DataError(
                        f'{scene.label_map}: the values {unknown[:10].tolist()} have no class, there are '
                        f'0..{highest}; name all values by --classes or classes.json, or fix the mask',
                        'unknown labels',
                    )
                regions = None if regions is None else _renumber(regions, scene)
            except DataError as error:
                self._leave_out(scene, error)
                continue
            written.append(scene)
            write_png(
                self.root / 'masks' / f'{scene.place}.png', mask.astype(np.uint8 if mask.max() < 256 else np.uint16)
            )
            if regions is not None:
                write_png(self.root / 'regions' / f'{scene.place}.png', regions.astype(np.uint16))
            if composed is None:
                self.rows += [(scene.place, str(region), name) for region, name in sorted(scene.region_names.items())]
                self.rows += [(scene.place, '', scene.picture_name)] * bool(scene.picture_name)
        return taxonomy, composed, written, with_regions

    def _read_maps(self) -> tuple[list[Scene], Counter[int], bool]:
        """Read all maps once, and place their pictures.

        Returns:
            The scenes that can be used; the pixels of all masks by value; and whether some of these are in JPEG.
        """
        values, in_jpeg = Counter[int](), Counter[int]()
        two: dict[bool, Path] = {}  # a mask of 0 and 255, and one of 0 and 1
        is_ignored = False  # 255, as a mask says that has 1 beside it
        shown: dict[int, tuple[bytes, Path]] = {}  # colour of a value, and a mask with this palette
        usable: list[Scene] = []
        for scene in track(self.scenes, 'Reading masks'):
            try:
                size = None
                if scene.label_map is not None:
                    mask = read_class_map(scene.label_map, self.found.colours)
                    size = mask.shape
                    own = dict(zip(*(part.tolist() for part in np.unique(mask, return_counts=True))))
                    if not self.found.colours:
                        require_same_colours(scene.label_map, own, shown)
                    (in_jpeg if is_lossy(scene.label_map) else values).update(own)
                    if set(own) in ({0, 1}, {0, 255}, {255}):
                        two[255 in own] = scene.label_map
                    is_ignored |= {1, 255} <= set(own)
                if scene.region_map is not None:
                    ids = read_id_map(scene.region_map)
                    if size not in (None, ids.shape):
                        raise DataError(
                            f'{scene.region_map}: the region map has another size than {scene.label_map}', 'size'
                        )
                    size = ids.shape
                scene.size = size
                self.pictures.place(scene)
            except DataError as error:
                self._leave_out(scene, error)
                continue
            usable.append(scene)
        if in_jpeg and not is_black_and_white(values + in_jpeg):
            for scene in [scene for scene in usable if is_lossy(scene.label_map)]:
                usable.remove(scene)
                message = f'{scene.label_map}: labels in JPEG, which changes them; write the masks again as PNG'
                self._leave_out(scene, DataError(message, 'JPEG mask'))
            in_jpeg.clear()
        values += in_jpeg
        if usable and len(two) > 1 and set(values) == {0, 1, 255} and not is_ignored:
            raise DataError(
                f'{two[False]} has the values 0 and 1, and {two[True]} has 0 and 255: 255 is ignored beside 1; write '
                'the same in all masks'
            )
        return usable, values, bool(in_jpeg)


def _draw_regions(scene: Scene, height: int, width: int) -> tuple[list[Outline], np.ndarray, np.ndarray]:
    """Objects with a visible pixel, their ids (R,), and the map (H, W); the smaller of two that overlap is on top.

    Ignored areas have the id 65535; areas of background are cut out of what is larger.
    """
    codes: list[tuple[float, Any, Outline]] = []
    for outline in scene.outlines:
        code = coco_mask.encode(np.asfortranarray(outline.draw(height, width).astype(np.uint8)))
        codes.append((float(coco_mask.area(code)), code, outline))
    # As COCO's reader: ignored areas lie under all others.
    codes.sort(key=lambda item: (not item[2].is_ignored, -item[0]))
    objects = [outline for _, _, outline in codes if not (outline.is_background or outline.is_ignored)]
    ids = number_regions(len(objects))
    if len(ids) and ids[-1] >= _LARGEST_ID:
        raise DataError(f'{scene.source}: {len(ids)} objects, and at most {_LARGEST_ID - 2} are possible')
    region_map, following = np.zeros((height, width), np.int32), iter(ids.tolist())
    for _, code, outline in codes:
        id_ = _LARGEST_ID if outline.is_ignored else 0 if outline.is_background else next(following)
        region_map[coco_mask.decode(code) > 0] = id_
    visible = np.isin(ids, region_map)
    return [outline for outline, seen in zip(objects, visible) if seen], ids[visible], region_map


def _renumber(regions: np.ndarray, scene: Scene) -> np.ndarray:
    """Ids that 16 bits have; a table's rows follow."""
    if regions.max(initial=0) < _LARGEST_ID:
        return regions
    old = np.unique(regions)
    old = old[old > 0]
    new = number_regions(len(old))
    if len(new) and new[-1] >= _LARGEST_ID:
        raise DataError(f'{scene.region_map}: {len(new)} objects, and at most {_LARGEST_ID - 2} are possible')
    position = {int(value): int(id_) for value, id_ in zip(old, new)}
    scene.region_names = {position.get(region, region): name for region, name in scene.region_names.items()}
    result = np.zeros_like(regions)
    result[regions > 0] = new[np.searchsorted(old, regions[regions > 0])]
    return result
