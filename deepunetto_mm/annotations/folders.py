"""Folders of pictures and of maps of the same names: masks of classes, maps of region ids, a table of fine classes."""

from __future__ import annotations

import re
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Container, Iterable, Optional, Sequence

import cv2
import numpy as np

from deepunetto_mm.datasets.file_names import composed
from deepunetto_mm.utils.errors import DataError, UsageError, suggest
from deepunetto_mm.utils.files import read_text

from .class_files import CLASS_FILES, read_classes
from .name_tables import named_scenes
from .pictures import have_few_colours, is_lossy, is_picture, read_map
from .scenes import Annotations, Scene, split_of

WHAT = 'folders of pictures and masks'
# Words in the names of folders, as regular expressions. The first role counts, if a name has words of several.
_WORDS = dict(
    region=r'regions?|instances?|segmentationobject',
    mask=r'masks?|labels?|anns?|annotations?|gt|groundtruth|truth|seg|segmentations?|segmentationclass|targets?|trimaps?'
    '|manual',
    picture=r'images?|imgs?|pictures?|photos?|inputs?|jpegimages',
)
_ANY_ROLE = '|'.join(_WORDS.values())
_SHOWN_ONLY = {'visualization', 'visualizations', 'visualisation', 'overlay', 'overlays'}  # drawings of masks
_SPLIT_WORDS = dict(Tr='train', Ts='test')  # of nnU-Net's folders
_WORD = r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+'
_ENDINGS = dict(
    mask=r'(^|[_-])(masks?|labels?|seg|segmentations?|gt|annotations?)$|[_-]masks?_\d+$',
    region=r'(^|[_-])(instances?|regions?|ids|cp_masks)$',
)
_SAMPLE = 20  # masks that are read to know what their values are
_FEWEST_IDS = 8  # numbers that no two pictures share
_OF_A_NAME = 4  # pictures of a name, on average


def sort_files(root: Path, files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Pictures, masks and region maps by name: the path without the folders of roles, the suffix, and ``_mask``.

    A split may be a folder above that of the role or below it, or a word in its name. What else the name of such a
    folder has, as ``patient1`` of ``patient1_masks``, stays if folders of pictures have it, too.

    Raises:
        DataError: If two files have the same role and name.
    """
    sorted_files = [(path, *_role_of(path, root)) for path in files if is_picture(path)]
    sorted_files = [item for item in sorted_files if item[1]]
    if all(role == 'picture' for _, role, _ in sorted_files):  # there may be a mask of the same name beside each JPEG
        photos = {path.with_suffix('') for path, _, _ in sorted_files if is_lossy(path)}
        masks = {
            path for path, _, _ in sorted_files if path.suffix.lower() == '.png' and path.with_suffix('') in photos
        }
        if have_few_colours(sorted(masks)):
            sorted_files = [(path, 'mask' if path in masks else role, stem) for path, role, stem in sorted_files]
    rests: dict[bool, set[str]] = {True: set(), False: set()}  # of pictures, and of maps
    for path, role, _ in sorted_files:
        rests[role == 'picture'].update(map(_rest, path.relative_to(root).parts[:-1]))
    shared = rests[True] & rests[False]
    found: dict[str, dict[str, Path]] = dict(picture={}, mask={}, region={})
    twice: list[DataError] = []
    for path, role, stem in sorted_files:
        parts = []
        for part in path.relative_to(root).parts[:-1]:
            rest = _rest(part)
            if rest != part:
                words = [_SPLIT_WORDS.get(word) or split_of([word])[0] for word in re.findall(_WORD, rest)]
                part = next(filter(None, words), rest if rest in shared else '')
            parts += [part] * bool(part)
        name = composed('/'.join([*parts, stem]))
        if name in found[role]:
            fix = 'rename or remove one' if role == 'picture' else 'remove one, or draw both into one file'
            twice.append(DataError(f'{found[role][name]} and {path} are both the {role} {name!r}; {fix}'))
        found[role][name] = path
    if twice and found['picture'] and (found['mask'] or found['region']):
        others = f' (and {len(twice) - 1} more such)' * (len(twice) > 1)
        raise DataError(f'{twice[0]}{others}')
    return found


def _rest(folder: str) -> str:
    """A folder's name without the words of roles: ``train`` of ``train_masks``."""
    if not any(re.fullmatch(_ANY_ROLE, word.lower()) for word in re.findall(_WORD, folder)):
        return folder
    dropped = f'{_ANY_ROLE}|dir'  # mmseg's img_dir
    kept = re.sub(_WORD, lambda word: '' if re.fullmatch(dropped, word.group().lower()) else word.group(), folder)
    return re.sub(r'[\W_]+', '_', kept).strip('_')


def is_of_pictures(folder: str) -> bool:
    """Whether a folder's name says pictures, perhaps of a split, and nothing else: ``train_images``."""
    words = [word.lower() for word in re.findall(_WORD, folder)]
    rest = [word for word in words if not re.fullmatch(_WORDS['picture'], word)]
    return len(rest) < len(words) and all(split_of([word])[0] for word in rest)


def _role_of(path: Path, root: Path) -> tuple[str, str]:
    """The role of a picture, empty if it is a drawing of masks, and its name without ``_mask``."""
    folders = path.relative_to(root).parts[:-1]
    roles: dict[bool, list[str]] = {True: [], False: []}  # of folders with words of a role only, and of others
    for part in folders:
        words = {word.lower() for word in re.findall(_WORD, part)}
        if words & _SHOWN_ONLY:
            return '', path.stem
        if {'segmentation', 'object'} <= words:
            words.add('segmentationobject')
        own = next((role for role, of_role in _WORDS.items() if any(re.fullmatch(of_role, word) for word in words)), '')
        if own:
            roles[not _rest(part)].append(own)
    # A dataset may be in a folder `cell_masks_2020`, so of such the last one counts.
    role = next((role for role in _WORDS if role in roles[True]), [*roles[False], 'picture'][len(roles[False]) - 1])
    # `x_cp_masks` is a name of Cellpose's maps of ids, and ends as a mask's does.
    for other in ('region', 'mask'):
        shorter = re.sub(_ENDINGS[other], '', path.stem, flags=re.IGNORECASE)
        if role == other or shorter != path.stem:
            return other, shorter
    return role, path.stem


def recognises(root: Path, files: Sequence[Path]) -> bool:
    """Whether some pictures have a mask or a region map."""
    roles = sort_files(root, files)
    pair_names(roles)
    return bool(set(roles['picture']) & {*roles['mask'], *roles['region']})


def why_not(root: Path, files: Sequence[Path]) -> str:
    """Why masks belong to no picture, for an error; empty if there are none, or no pictures."""
    roles = sort_files(root, files)
    masks, pictures = {**roles['mask'], **roles['region']}, roles['picture']
    if not masks or not pictures:
        return ''
    first = min(masks)
    return (
        f'none of {len(masks)} masks has the name of a picture, such as {masks[first]}{suggest(first, pictures)}: a '
        'picture needs one mask, with a value for each class, whose name may differ by what all masks have in common'
    )


def pair_names(roles: dict[str, dict[str, Path]]) -> list[str]:
    """Call maps as their pictures, if none has the name of a picture, but what differs between the names is the same.

    So ``scan_1.png`` and ``truth_1.png`` belong together, and ``ulm_07_leftImg8bit.png`` and ``ulm_07_gtFine.png``.
    Returns what was paired.
    """
    notes, pictures = [], _cores(roles['picture'])
    for role in ('mask', 'region'):
        maps = _cores(roles[role])
        if maps and not set(roles[role]) & set(roles['picture']) and set(maps) <= set(pictures):
            core = next(iter(maps))
            one, other = roles[role][maps[core]].name, roles['picture'][pictures[core]].name
            notes.append(f'names are paired by what differs in them, such as {other} and {one}')
            roles[role] = {pictures[core]: roles[role][name] for core, name in maps.items()}
    return notes


def _cores(names: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Names by what distinguishes them: without split, folders that all are in, and what all begin and end with.

    Empty if some are equal then.
    """
    split_names = [(split_of(name.split('/')[:-1])[1], name.rpartition('/')[2], name) for name in names]
    stems = [stem for _, stem, _ in split_names]
    depth = len(list(takewhile(lambda alike: len(set(alike)) == 1, zip(*(folders for folders, _, _ in split_names)))))
    front, back = _common(stems), _common([stem[::-1] for stem in stems])
    cores = {
        (*folders[depth:], stem[front : max(front, len(stem) - back)]): name for folders, stem, name in split_names
    }
    return cores if len(cores) == len(stems) else {}


def _common(words: Sequence[str]) -> int:
    """Letters that all words begin with, without digits at their end, which may be a part of a number."""
    letters = takewhile(lambda alike: len(set(alike)) == 1, zip(*words))
    return len(''.join(alike[0] for alike in letters).rstrip('0123456789'))


def read(root: Path, files: Sequence[Path], masks_are: Optional[str] = None) -> Annotations:
    """Read the lists of files, the table and the names of the classes; masks are read when they are written.

    Args:
        root: The folder.
        files: All files in it.
        masks_are: ``'classes'`` or ``'ids'``; None to find out.

    Raises:
        UsageError: If masks are said to be ids where there are maps of regions, too.
    """
    found, roles = Annotations(), sort_files(root, files)
    found.notes += pair_names(roles)
    pictures, masks, regions = roles['picture'], roles['mask'], roles['region']
    read_classes(root, found)
    if masks_are == 'ids' and masks and regions:
        raise UsageError(
            f'--masks-are ids: {root} has maps of regions beside its masks; leave it out, or take one away'
        )
    if masks and not regions and masks_are != 'classes':
        are_ids = masks_are == 'ids' or _are_ids(list(masks.values()), len(found.value_names))
        if are_ids:
            masks, regions = {}, masks
            found.notes.append('the masks are maps of ids: each value of a picture is one object')
        elif are_ids is None:
            found.notes.append(
                'the masks were read as classes, though each value is in one piece in every picture: if each is an '
                'object, give --masks-are ids'
            )
    for what, maps in (('mask', masks), ('region map', regions)):
        free = set(pictures) - set(maps)
        for name in sorted(set(maps) - set(pictures)):
            message = f'{maps[name]}: no picture belongs to this {what}{found.suggest(name, free)}'
            found.problems.append(DataError(f'{message}; rename or remove it', 'file of no picture'))
    needed = {'mask': masks, 'region map': regions}
    annotated = [name for name in pictures if all(name in maps for maps in needed.values() if maps)]
    if not found.problems:
        places = {pictures[name].parent for name in annotated}
        aside = sorted(path for path in pictures.values() if path.parent not in places)
        if aside:
            found.notes.append(f'left out: {len(aside)} of folders without masks, such as {aside[0]}')
            pictures = {name: path for name, path in pictures.items() if path.parent in places}
    if annotated and len(annotated) < len(pictures) / 2:
        found.notes.append(f'{len(pictures) - len(annotated)} of {len(pictures)} pictures have no mask: left out')
        pictures = {name: pictures[name] for name in annotated}
    listed = _listed_splits(files, {own for name in pictures for own in (name, name.split('/')[-1])})
    for name, path in sorted(pictures.items()):
        missing = [what for what, maps in needed.items() if maps and name not in maps]
        if missing:
            message = f'{path}: it has no {" and no ".join(missing)}; write it, or take the picture out'
            found.problems.append(DataError(message, 'missing file'))
            continue
        split, folders = split_of(name.split('/')[:-1])
        split = split or listed.get(name) or listed.get(name.split('/')[-1], '')
        scene = Scene('/'.join([*folders, name.split('/')[-1]]), path, masks.get(name, path), split)
        scene.label_map, scene.region_map = masks.get(name), regions.get(name)
        found.scenes.append(scene)
    _read_names(root, found, bool(regions))
    tops = Counter(scene.name.partition('/')[0] for scene in found.scenes if '/' in scene.name)
    if (
        not any(scene.picture_name for scene in found.scenes)
        and len(found.scenes) >= _OF_A_NAME * len(tops) > _OF_A_NAME
    ):
        shown = ', '.join(sorted(tops)[:5])
        found.notes.append(f'the folders ({shown}) are not taken for names; if they are, give --fine-key folder')
    return found


def _are_ids(paths: Sequence[Path], named: int) -> Optional[bool]:
    """Whether masks have the ids of single objects; None if it is not certain.

    Ids are 1..n with an n of each picture's own, or numbers that other pictures have not, and each is in one piece.

    Args:
        paths: Of the masks.
        named: Number of the classes with a name; values that all have one are classes.
    """
    highest, whole, pictures = [], Counter[bool](), Counter[int]()
    for path in paths[:: max(1, len(paths) // _SAMPLE)]:
        try:
            values = read_map(path)
        except DataError:
            continue
        if values.ndim != 2 or values.dtype.kind not in 'iu':
            return False
        ids = np.unique(values)
        ids = ids[ids > 0]
        if not len(ids):
            continue
        pictures.update(ids.tolist())
        highest.append(len(ids) if ids[-1] <= 1.5 * len(ids) + 2 else 0)
        for id_ in ids[:30]:
            whole[cv2.connectedComponents((values == id_).astype(np.uint8), connectivity=8)[0] == 2] += 1
    if not pictures or max(pictures) < named or whole[True] < 0.9 * whole.total():
        return False
    is_numbered = min(highest) > 0 and max(highest) >= 3 and len(set(highest)) > 1
    is_own = len(pictures) >= _FEWEST_IDS and list(pictures.values()).count(1) >= 0.9 * len(pictures)
    return True if is_numbered or is_own else None if len(pictures) > 1 and len(highest) > 1 else False


def _listed_splits(files: Sequence[Path], names: Container[str]) -> dict[str, str]:
    """Splits by the lists of Pascal VOC, ``ImageSets/Segmentation/train.txt``: a name in a line, perhaps with spaces.

    Lists of a class have a number after it, 1 or -1.
    """
    lines = {
        composed(line.strip()): split_of([path.stem])[0]
        for path in files
        if 'ImageSets' in path.parts and path.suffix == '.txt' and split_of([path.stem])[0]
        for line in read_text(str(path)).splitlines()
    }
    return {line if line in names else re.sub(r'\s+-?\d+$', '', line): split for line, split in lines.items()}


def _read_names(root: Path, found: Annotations, with_regions: bool) -> None:
    """Fine classes of pictures or of regions, from tables."""
    for where, scene, split, row in named_scenes(root, found.scenes, found):
        if 'fine_class' not in row:
            raise DataError(f'{where}: beside masks a fine_id has no name; write a column fine_class', 'fine label')
        if found.composed is not None and row['fine_class']:
            path = next(path for path in (root / name for name in CLASS_FILES) if path.is_file())
            raise DataError(
                f'{where}: the row names objects, and {path} says that mask values are names ("kinds" or "composed"): '
                'take one out',
                'fine label',
            )
        region = row.get('region', '')
        if row.get('split') and scene.split not in ('', split):
            message = f'{where}: the split is {split}, and {scene.picture} is in {scene.split}; fix the row'
            found.problems.append(DataError(message, 'fine label'))
            continue
        scene.split = scene.split or split
        if not region:
            scene.picture_name = row['fine_class']
        elif not with_regions or not region.isdecimal():
            message = f'{where}: the row names the region {region!r}, but there are no region maps of numbers'
            found.problems.append(DataError(message, 'fine label'))
        elif row['fine_class']:
            scene.region_names[int(region)] = row['fine_class']
