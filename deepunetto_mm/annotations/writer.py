"""Annotations in the layout of ``CoarseFineDataset``: pictures, masks, region maps, the table and the taxonomy."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional, Sequence

import cv2
import numpy as np
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask
from rich.progress import track

from deepunetto_mm.ops import number_regions, touching_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, UsageError
from deepunetto_mm.utils.files import read_json, whole_file, write_png, write_whole

from .scenes import IGNORED_LABELS, Annotations, Outline, Scene, choose_names, is_lossy, read_map, read_picture

_SAME_FORMAT = {'.jpeg': '.jpg', '.tiff': '.tif'}
_LARGEST_ID = 2**16 - 1
# In classes.json, so that no folder of a user is taken for one that was written here.
_MARK = dict(written_by='deepunetto_mm')
# Share of the objects that touch one of another label, above which labels are no names of one kind of object.
_APART = 0.1
_GREY_LEVELS = 40  # more values than this in grey masks are no classes
_DARK = 64  # grey levels up to this would hardly be seen beside white
_AT_ENDS, _BLACK_OR_WHITE = 24, 0.75  # grey levels from black and white, and share of the pixels there


@dataclass
class WrittenDataset:
    """A dataset in the layout of ``CoarseFineDataset``, all pictures in one folder.

    Attributes:
        root: With ``images/``, ``masks/``, ``regions/``, ``labels.csv``, ``classes.json``.
        taxonomy: Its taxonomy.
        img_suffix: Suffix of the pictures.
        splits: Split by the picture's name; empty if none was given.
        composed: Names of the mask values, if masks have the specific classes.
        whole: Whether each picture is one object as a whole, because there are no masks.
        with_regions: Whether there are region maps.
        with_table: Whether there is a table of fine classes.
        problems: Errors; their pictures are left out.
        notes: What was decided.
    """

    root: Path
    taxonomy: Taxonomy
    img_suffix: str
    splits: dict[str, str] = field(default_factory=dict)
    composed: Optional[list[str]] = None
    whole: bool = False
    with_regions: bool = False
    with_table: bool = False
    problems: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_config(self, names_file: str = '') -> dict[str, Any]:
        """Options of ``CoarseFineDataset``, without the pipeline."""
        prefix = dict(img_path='images', seg_map_path='masks')
        if self.with_regions:
            prefix['region_map_path'] = 'regions'
        return dict(
            type='deepunetto_mm.CoarseFineDataset',
            data_root=str(self.root.resolve()),
            data_prefix=prefix,
            ann_file=names_file,
            img_suffix=self.img_suffix,
            fine_label_file='labels.csv' if self.with_table else None,
            metainfo=dict(taxonomy=self.taxonomy.to_dict()),
        )

    def annotation_transforms(self, min_area: int) -> list[dict[str, Any]]:
        """What reads the annotation of a picture; regions of fewer pixels are left out."""
        if self.composed is not None:
            return [dict(type='deepunetto_mm.LoadComposedAnnotations', labels=self.composed, min_area=min_area)]
        return [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions', min_area=min_area)]


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
        UsageError: If the folder holds something else, or the annotations themselves.
    """
    if root.exists() and any(root.iterdir()) and not _is_written(root):
        raise UsageError(f'{root} holds something else than a written dataset; remove it, or use another folder')
    if any(scene.source.resolve().is_relative_to(root.resolve()) for scene in found.scenes):
        raise UsageError(f'{root} is what is read, and would be replaced; use another output folder')
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    write_whole(root / 'classes.json', json.dumps(_MARK).encode())
    return _Writer(found, root, dict(renamed or {})).run(fine_key, classes)


def _is_written(root: Path) -> bool:
    """Whether a folder is a dataset of :func:`write_dataset`, which may be replaced."""
    path = root / 'classes.json'
    content = read_json(str(path)) if path.is_file() else None
    return isinstance(content, dict) and _MARK.items() <= content.items()


class _Writer:
    def __init__(self, found: Annotations, root: Path, renamed: dict[str, str]) -> None:
        self.found, self.root, self.renamed = found, root, renamed
        self.problems, self.notes = list(found.problems), list(found.notes)
        self.rows: list[tuple[str, str, str]] = []  # picture, region, fine class
        counts = Counter(_suffix(scene.picture) for scene in found.scenes)
        self.suffix = counts.most_common(1)[0][0]
        if len(counts) > 1:
            self.notes.append(
                f'the pictures end in {dict(counts)}: those of another suffix were written again as {self.suffix}'
            )

    def run(self, fine_key: Optional[str], classes: Optional[Sequence[str]]) -> WrittenDataset:
        found = self.found
        _require_unique(found.scenes)
        drawn = any(scene.outlines for scene in found.scenes) or not any(
            scene.label_map or scene.region_map for scene in found.scenes
        )
        if drawn:
            self._name(fine_key)
            taxonomy, written = self._write_outlines()
            regions, composed = True, None
        else:
            self._name_by_folder(fine_key)
            taxonomy, composed, written, regions = self._write_maps(classes)
        if not written:
            first = f': {self.problems[0]}' if self.problems else ''
            raise DataError(f'no picture can be used, of {len(found.scenes)}{first}')
        if self.rows:
            text = io.StringIO()
            table = csv.writer(text, lineterminator='\n')
            table.writerow(['image', 'region', 'fine_class'])
            table.writerows(self.rows)
            write_whole(self.root / 'labels.csv', text.getvalue().encode())
        content = dict(_MARK, taxonomy=taxonomy.to_dict(), composed=composed)
        write_whole(self.root / 'classes.json', json.dumps(content, indent=1, ensure_ascii=False).encode())
        splits = {_place(scene): scene.split for scene in written if scene.split}
        if splits and len(splits) < len(written):
            self.notes.append(f'{len(written) - len(splits)} of {len(written)} pictures are in no split: train')
            splits = {_place(scene): scene.split or 'train' for scene in written}
        return WrittenDataset(
            self.root,
            taxonomy,
            self.suffix,
            splits,
            composed,
            found.whole,
            regions,
            bool(self.rows),
            self.problems,
            self.notes,
        )

    # ------------------------------------------------------------------------------------------------- outlines
    def _name(self, fine_key: Optional[str]) -> None:
        """Give objects their fine class from attributes, and apply the other names."""
        outlines = [outline for scene in self.found.scenes for outline in scene.outlines]
        key = None
        if fine_key is not None or not any(outline.name for outline in outlines):
            key, notes = choose_names(outlines, fine_key)
            self.notes += notes
        for scene in self.found.scenes:
            scene.outlines = [
                replace(one, kind=self._new(one.kind), name=self._new(one.name or one.attributes.get(key or '', '')))
                for one in scene.outlines
            ]

    def _name_by_folder(self, fine_key: Optional[str]) -> None:
        """Give pictures the fine class that their first folder is called after, if a user says so."""
        if fine_key not in (None, 'folder'):
            raise UsageError(f'--fine-key {fine_key}: masks have no attributes; only folder is possible')
        for scene in self.found.scenes if fine_key else ():
            scene.picture_name = scene.name.partition('/')[0] if '/' in scene.name else ''

    def _new(self, name: str) -> str:
        return self.renamed.get(name, name)

    def _write_outlines(self) -> tuple[Taxonomy, list[Scene]]:
        written: list[tuple[Scene, list[Outline], np.ndarray]] = []
        touching: Counter[bool] = Counter()
        for scene in track(self.found.scenes, 'Drawing'):
            try:
                height, width = self._place_picture(scene)
                outlines, ids, region_map = _draw_regions(scene, height, width)
            except DataError as error:
                self.problems.append(error)
                continue
            labels = dict(zip(ids.tolist(), outlines))
            others = {
                id_
                for pair in touching_regions(region_map)
                for id_ in pair
                if all(number in labels for number in pair) and labels[pair[0]].kind != labels[pair[1]].kind
            }
            touching.update({True: len(others), False: len(ids) - len(others)})
            write_png(self.root / 'regions' / f'{_place(scene)}.png', region_map.astype(np.uint16))
            written.append((scene, outlines, ids))
        objects = [outline for _, outlines, _ in written for outline in outlines]
        taxonomy, fine_of = self._taxonomy_of(objects, touching[True] / max(1, touching.total()))
        for scene, outlines, ids in written:
            path = self.root / 'regions' / f'{_place(scene)}.png'
            region_map = read_map(path)
            class_of_id = np.zeros(_LARGEST_ID + 1, np.uint16)
            class_of_id[_LARGEST_ID] = taxonomy.ignore_index
            for outline, id_ in zip(outlines, ids.tolist()):
                group, fine = fine_of[outline.kind, outline.name]
                class_of_id[id_] = taxonomy.classes.index(group)
                if fine:
                    self.rows.append((_place(scene), '' if self.found.whole else str(id_), fine))
            mask = class_of_id[region_map]
            write_png(self.root / 'masks' / f'{_place(scene)}.png', mask.astype(np.uint8))
            if (region_map == _LARGEST_ID).any():
                region_map = np.where(region_map == _LARGEST_ID, 0, region_map)
                write_png(path, region_map.astype(np.uint16))
        return taxonomy, [scene for scene, _, _ in written]

    def _taxonomy_of(
        self, objects: Sequence[Outline], touching: float
    ) -> tuple[Taxonomy, dict[tuple[str, str], tuple[str, str]]]:
        """The taxonomy of labels; and, by kind and name, group and fine class."""
        counts = Counter((outline.kind, outline.name) for outline in objects)
        kinds = list(dict.fromkeys(kind for kind, _ in sorted(counts)))
        if not kinds:
            raise DataError('no picture has an object: there is nothing to learn')
        names: dict[str, list[str]] = {kind: [] for kind in kinds}
        for kind, name in sorted(counts):
            if name:
                names[kind].append(name)
        of_several = {name for name, number in Counter(n for own in names.values() for n in own).items() if number > 1}
        if not any(names.values()) and len(kinds) > 1 and touching <= _APART:
            self.notes.append(
                f'the labels {_some(kinds)} have no kinds above them (as in cell/neutrophil): they are taken as the '
                f'names of one kind, object; {100 * touching:.0f} % of the objects touch one of another label'
            )
            group = dict(name='object', members=['object'], fine_classes=kinds)
            taxonomy = dict(classes=['background', 'object'], groups=[group])
            return Taxonomy.from_dict(taxonomy), {(kind, ''): ('object', kind) for kind in kinds}
        if not any(names.values()) and len(kinds) > 1:
            self.notes.append(
                f'the labels {_some(kinds)} are segmentation classes of their own: {100 * touching:.0f} % of the '
                'objects touch one of another label, which would be one object if they were names of one kind'
            )
        groups, fine_of = [], {}
        for kind in kinds:
            unique = {name: f'{kind} {name}' if name in of_several else name for name in names[kind]}
            groups.append(dict(name=kind, members=[kind], fine_classes=list(unique.values()) or [kind]))
            fine_of.update({(kind, name): (kind, fine) for name, fine in unique.items()})
            fine_of[kind, ''] = (kind, '' if unique else kind)
        return Taxonomy.from_dict(dict(classes=['background', *kinds], groups=groups)), fine_of

    # ----------------------------------------------------------------------------------------------------- maps
    def _write_maps(self, classes: Optional[Sequence[str]]) -> tuple[Taxonomy, Optional[list[str]], list[Scene], bool]:
        found = self.found
        values, in_jpeg = Counter[int](), Counter[int]()  # pixels by value
        two: dict[bool, Path] = {}  # a mask of 0 and 255, and one of 0 and 1
        usable: list[Scene] = []
        for scene in track(found.scenes, 'Reading masks'):
            try:
                size = None
                for path in (scene.label_map, scene.region_map):
                    if path is not None:
                        array = self._read(path, path == scene.label_map)
                        if size not in (None, array.shape):
                            raise DataError(f'{path}: the region map has another size than {scene.label_map}', 'size')
                        size = array.shape
                        if path == scene.label_map:
                            own = dict(zip(*(part.tolist() for part in np.unique(array, return_counts=True))))
                            (in_jpeg if is_lossy(path) else values).update(own)
                            if set(own) in ({0, 1}, {0, 255}, {255}):
                                two[255 in own] = path
                scene.size = size
                self._place_picture(scene)
            except DataError as error:
                self.problems.append(error)
                continue
            usable.append(scene)
        if in_jpeg and not _is_black_and_white(values + in_jpeg):
            for scene in [scene for scene in usable if is_lossy(scene.label_map)]:
                usable.remove(scene)
                message = f'{scene.label_map}: labels in JPEG, which changes them; write the masks again as PNG'
                self.problems.append(DataError(message, 'JPEG mask'))
            in_jpeg.clear()
        values += in_jpeg
        if not usable:
            return Taxonomy(('background',)), None, [], False
        with_masks, with_regions = usable[0].label_map is not None, usable[0].region_map is not None
        if len(two) > 1 and set(values) == {0, 1, 255}:
            raise DataError(
                f'{two[False]} has the values 0 and 1, and {two[True]} has 0 and 255: 255 is ignored beside 1; write '
                'the same in all masks'
            )
        new_values = self._new_values(values, classes, bool(in_jpeg)) if with_masks else {}
        new_values, classes = self._without_ignored(values, new_values, classes)
        labels = [value for value in new_values.values() or values if value != 255]
        named = [scene for scene in usable if scene.picture_name or scene.region_names]
        for scene in named:
            scene.picture_name = self._new(scene.picture_name)
            scene.region_names = {region: self._new(name) for region, name in scene.region_names.items()}
        taxonomy, composed = self._taxonomy_of_maps(labels, named, classes, with_masks, with_regions)
        highest = len(composed or taxonomy.classes) - 1
        rows = []
        for scene in usable:
            place = _place(scene)
            regions = None if scene.region_map is None else self._read(scene.region_map, False)
            mask = np.asarray(regions) > 0 if scene.label_map is None else self._read(scene.label_map, True)
            if regions is not None and scene.left_out:
                gone = np.isin(regions, sorted(scene.left_out))
                mask, regions = np.where(gone, taxonomy.ignore_index, mask), np.where(gone, 0, regions)
            if new_values:
                mask = np.array([new_values.get(value, 255) for value in range(max(values) + 1)])[mask]
            unknown = np.unique(mask[(mask > highest) & (mask != 255)])
            if len(unknown):
                message = (
                    f'{scene.label_map}: the values {unknown[:10].tolist()} have no class, there are '
                    f'0..{highest}; name all values by --classes or classes.json, or fix the mask'
                )
                self.problems.append(DataError(message, 'unknown labels'))
            write_png(self.root / 'masks' / f'{place}.png', mask.astype(np.uint8 if mask.max() < 256 else np.uint16))
            if regions is not None:
                write_png(self.root / 'regions' / f'{place}.png', _renumber(regions, scene).astype(np.uint16))
            rows += [(place, str(region), name) for region, name in sorted(scene.region_names.items())]
            rows += [(place, '', scene.picture_name)] * bool(scene.picture_name)
        self.rows = rows if composed is None else []
        return taxonomy, composed, usable, with_regions

    def _read(self, path: Path, classes: bool) -> np.ndarray:
        """A map of classes or of ids, (H, W) int32; of colours if these are known."""
        values = read_map(path)
        if not classes and is_lossy(path):
            raise DataError(f'{path}: ids in JPEG, which changes them; write the maps again as PNG', 'JPEG mask')
        if values.ndim != 3 or (classes and not self.found.colours):
            return _labels_of(path, values)
        packed = values[..., :3].astype(np.int64) @ (65536, 256, 1)
        colours, places = np.unique(packed, return_inverse=True)
        if not classes:
            return (np.cumsum(colours > 0) * (colours > 0))[places].reshape(packed.shape).astype(np.int32)
        unknown = [f'{colour:06x}' for colour in colours.tolist() if colour not in self.found.colours]
        if unknown:
            raise DataError(f'{path}: no class has the colours {unknown[:5]}; add them to labelmap.txt', 'colour mask')
        labels = np.array([self.found.colours[colour] for colour in colours.tolist()])
        return labels[places].reshape(packed.shape).astype(np.int32)

    def _new_values(self, values: Counter[int], classes: Optional[Sequence[str]], smoothed: bool) -> dict[int, int]:
        """Classes of mask values that are grey levels, by value; nothing if the values are classes already."""
        found = self.found
        ordered = sorted(values)
        if smoothed or (len(ordered) > _GREY_LEVELS and _is_black_and_white(values)):
            self.notes.append(
                'the masks are black and white, with greys in between, as smoothing and JPEG leave them: from 128 on '
                'their values were read as class 1'
            )
            return {value: int(value >= 128) for value in ordered}
        if set(values) in ({0, 255}, {255}):
            self.notes.append(
                'the masks have the values 0 and 255: 255 was read as class 1 (in a mask of classes it is ignored)'
            )
            return {0: 0, 255: 1}
        without = [value for value in ordered if value != 255]
        named = classes or found.classes or found.composed or (found.taxonomy or {}).get('classes') or []
        few = len(ordered) <= _GREY_LEVELS and without[-1] < 256
        if without[-1] < max(len(named), (2 * len(without) + 4) * few):
            return {}
        if not few:
            raise DataError(
                f'the masks have {len(ordered)} values up to {ordered[-1]}: pictures, or ids of objects '
                '(--masks-are ids), or classes that need names (--classes)'
            )
        if without[-1] < _DARK and 255 in ordered:  # white around objects of low numbers, as in Pascal VOC
            ordered = without
        ignored = ', and 255 is ignored' * (255 in values and 255 not in ordered)
        self.notes.append(f'the mask values {ordered} were read as the classes 0 to {len(ordered) - 1}{ignored}')
        return {value: index for index, value in enumerate(ordered)}

    def _without_ignored(
        self, values: Iterable[int], new_values: dict[int, int], classes: Optional[Sequence[str]]
    ) -> tuple[dict[int, int], Optional[Sequence[str]]]:
        """New mask values and classes, without those whose name says that they are ignored, but for the first."""
        names = classes or self.found.classes or []
        kept = [index for index, name in enumerate(names) if index == 0 or name.lower() not in IGNORED_LABELS]
        if len(kept) == len(names):
            return new_values, classes
        gone = sorted(set(range(len(names))) - set(kept))
        self.notes.append(f'pixels of {_some([names[index] for index in gone])} are ignored')
        places = {**dict.fromkeys(gone, 255), **{index: place for place, index in enumerate(kept)}}
        indices = {value: new_values.get(value, value) for value in values}
        return {value: places.get(index, index) for value, index in indices.items()}, [names[index] for index in kept]

    def _taxonomy_of_maps(
        self,
        labels: Sequence[int],
        named: Sequence[Scene],
        classes: Optional[Sequence[str]],
        with_masks: bool,
        with_regions: bool,
    ) -> tuple[Taxonomy, Optional[list[str]]]:
        found = self.found
        if found.taxonomy is not None:
            return Taxonomy.from_dict(found.taxonomy), found.composed
        names = list(classes or found.classes or [])
        if not with_masks:
            names = names or ['background', 'object']
        elif not names:
            names = ['background', *(f'class {value}' for value in range(1, max(labels, default=1) + 1))]
            if len(names) == 2:
                names[1] = 'object'
            elif not (with_regions or any(one.picture_name or any(one.region_names.values()) for one in named)):
                names[0] = 'class 0'  # it need not be the background
            self.notes.append(
                f'the mask values {sorted(labels)} have no names: they are called {_some(names)}; name them by '
                '--classes, or in classes.json'
            )
        fine = sorted({name for one in named for name in [one.picture_name, *one.region_names.values()] if name})
        front = names[1:]
        if fine:
            group = 'object' if len(front) > 1 else front[0]
            group = group if group not in names[:1] else 'thing'
            self.notes.append(f'an object is made of {_some(front)}, and {names[0]!r} is what is around it')
            return Taxonomy.from_dict(
                dict(classes=names, groups=[dict(name=group, members=front, fine_classes=fine)])
            ), None
        if with_regions or len(front) == 1:
            groups = [dict(name=name, members=[name], fine_classes=[name]) for name in front]
            return Taxonomy.from_dict(dict(classes=names, groups=groups)), list(names)
        self.notes.append(
            'nothing says which classes are objects: classes are segmented, and no object is named; a classes.json '
            'with kinds says it (docs/plan.md)'
        )
        return Taxonomy.from_dict(dict(classes=names)), None

    # ------------------------------------------------------------------------------------------------- pictures
    def _place_picture(self, scene: Scene) -> tuple[int, int]:
        """Link or write the picture; returns height and width as ``LoadImageFromFile`` reads it."""
        path = scene.picture
        try:
            with Image.open(path) as header:
                width, height = header.size
                orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(
                f'{path}: not a picture, or a damaged one, or of more than four bands ({error}); write it again',
                'unreadable',
            ) from error
        stored = height, width
        shown = (width, height) if orientation in (5, 6, 7, 8) else stored
        target = self.root / 'images' / (_place(scene) + self.suffix)
        if scene.size in (None, shown):
            if orientation not in (0, 1) and scene.size == stored:
                self.notes.append(
                    f'{path}: its EXIF orientation {orientation} turns it; the annotation is taken as drawn on the '
                    'turned picture'
                )
            if _suffix(path) == self.suffix:
                _link(path, target)
            else:
                self._write_again(path, target, cv2.IMREAD_UNCHANGED if orientation in (0, 1) else cv2.IMREAD_COLOR)
            return shown
        if scene.size == stored:
            self.notes.append(
                f'{path}: its EXIF orientation {orientation} turns it, and its annotation is not turned: the picture '
                'was written again as it is stored'
            )
            self._write_again(path, target, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            return stored
        assert scene.size is not None
        raise DataError(
            f'{scene.label_map or scene.region_map or scene.source}: the annotation is {scene.size[1]}x'
            f'{scene.size[0]} pixels, but its picture {path} {shown[1]}x{shown[0]}; make them equal',
            'size mismatch',
        )

    def _write_again(self, path: Path, target: Path, flag: int) -> None:
        image = read_picture(path, flag)
        if image.dtype != np.uint8 and self.suffix in ('.jpg', '.gif', '.webp'):
            raise DataError(f'{path}: of 16 bits among pictures of {self.suffix}; save all as PNG', 'mixed suffixes')
        options = [cv2.IMWRITE_JPEG_QUALITY, 97] if self.suffix == '.jpg' else []
        write_whole(target, cv2.imencode(self.suffix, image, options)[1].tobytes())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return _SAME_FORMAT.get(suffix, suffix)


def _place(scene: Scene) -> str:
    return f'{scene.split}/{scene.name}' if scene.split else scene.name


def _link(path: Path, target: Path) -> None:
    with whole_file(target) as incomplete:
        try:
            incomplete.symlink_to(os.path.abspath(path))
        except OSError:  # Windows without the right to link
            shutil.copyfile(path, incomplete)


def _require_unique(scenes: Sequence[Scene]) -> None:
    places: dict[str, Scene] = {}
    for scene in scenes:
        other = places.setdefault(_place(scene), scene)
        if other is not scene:
            raise DataError(f'{scene.picture} and {other.picture} are both picture {scene.name!r}; rename one')


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


def _is_black_and_white(values: Counter[int]) -> bool:
    """Whether nearly all pixels of masks are black or white, some white."""
    white = sum(number for value, number in values.items() if 255 - _AT_ENDS < value < 256)
    black = sum(number for value, number in values.items() if value < _AT_ENDS)
    return white > 0 and white + black > _BLACK_OR_WHITE * values.total()


def _labels_of(path: Path, values: np.ndarray) -> np.ndarray:
    if values.ndim != 2 or values.dtype.kind not in 'iu':
        what = f'shape {values.shape}, a colour picture' if values.ndim == 3 else f'values of {values.dtype}'
        raise DataError(
            f'{path}: the mask has {what}; save it with one channel, the number of a class (or id) at each pixel, give '
            'the colours of the classes in class_dict.csv, or say --masks-are ids if each object has its own',
            'colour mask',
        )
    if values.size and (values.min() < 0 or values.max() > 2**31 - 1):
        raise DataError(f'{path}: the values {values.min()} to {values.max()} are no labels', 'unknown labels')
    return values.astype(np.int32)


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


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')
