"""Files of pictures and of maps: which files they are, and reading them."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Iterable, Mapping, Optional, Sequence, Union

import numpy as np
from PIL import Image

from deepunetto_mm.datasets.file_names import composed
from deepunetto_mm.datasets.integrity import require_upright
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.picture_files import PICTURE_SUFFIXES, read_picture

from .scenes import split_of

_SAMPLE, _FEW_COLOURS = 3, 40  # files of a folder that are looked at, and colours of a mask


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its suffix, in any case; hidden files are not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith('.')


def is_lossy(path: Optional[Path]) -> bool:
    """Whether a file is of a format that changes values."""
    return path is not None and path.suffix.lower() in ('.jpg', '.jpeg', '.webp')


def by_file_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The pictures among some files by their names, for :func:`find_picture`."""
    found: dict[str, list[Path]] = {}
    for path in filter(is_picture, files):
        found.setdefault(composed(path.name), []).append(path)
    return found


def find_picture(root: Path, pictures: Mapping[str, Sequence[Path]], source: Path, name: str, split: str = '') -> Path:
    """The picture that an annotation file means by a path, which may be of another machine.

    It is that of this very path, from the folder of the annotation file or from the root. Else, of those with this
    file name, it is one of the split, then one whose last folders agree with the path, then one that shares folders
    with the annotation file.

    Args:
        root: The folder that they are in.
        pictures: Of :func:`by_file_name`.
        source: The annotation file, in the folder.
        name: The path.
        split: That of the annotation file.

    Raises:
        DataError: If no picture has this file name, or several match equally well.
    """
    parts, folders = composed(name).split('/'), _parts(root, source)[:-1]

    def rank(path: Path) -> tuple[bool, bool, bool, int, int]:
        own = _parts(root, path)
        beside, exact = own == [*folders, *parts], own == parts
        of_split = bool(split) and split_of(own[:-1])[0] == split
        return beside, exact, of_split, _equal(own[::-1], parts[::-1]), _equal(own[:-1], folders)

    ranked = sorted(pictures.get(parts[-1], ()), key=rank, reverse=True)
    if not ranked:
        raise DataError(
            f'{source}: its picture {name!r} is not in {root}; copy it there, or remove its entry', 'missing file'
        )
    if len(ranked) > 1 and rank(ranked[0]) == rank(ranked[1]):
        one, other = sorted(ranked[:2])
        raise DataError(
            f'{source}: the picture {name!r} may be {one} or {other}; write the folder, too, or take one out',
            'missing file',
        )
    return ranked[0]


def _parts(root: Path, path: Path) -> list[str]:
    return composed(path.relative_to(root)).split('/')


def _equal(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of the first parts that are equal."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other))))


def have_few_colours(paths: Sequence[Path]) -> bool:
    """Whether the first pictures of a folder have so few colours that they may be masks."""
    return all(map(_has_few_colours, paths[:_SAMPLE]))


def _has_few_colours(path: Path) -> bool:
    try:
        values = read_picture(path).astype(np.int64) @ (1, 256, 65536)
    except DataError:
        return False
    return len(np.unique(values)) <= _FEW_COLOURS


def read_map(path: Union[str, Path]) -> np.ndarray:
    """A file of labels as stored: palettes as indices, 16 and 32 bits unchanged; (H, W) or (H, W, C) integers.

    Raises:
        DataError: If it cannot be decoded, or is a TIFF whose numbers would be inverted.
    """
    values = _read_values(path)
    if values.ndim == 3:
        colours = values[..., : 1 if values.shape[2] == 2 else 3]  # and transparency, of two or four channels
        # An empty mask has one colour, too, but is opaque throughout.
        if colours.shape[2] < values.shape[2] and colours.max() == colours.min() and values[..., -1].min() < 255:
            values = values[..., -1]  # drawn by transparency alone
        elif (colours == colours[..., :1]).all():
            values = colours[..., 0]  # grey that was saved as colour
    return values


def _read_values(path: Union[str, Path], as_colours: bool = False) -> np.ndarray:
    try:
        with Image.open(path) as image:  # OpenCV turns palettes into colours
            values = np.asarray(image.convert('RGB') if as_colours and image.mode in ('P', 'PA') else image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'{path}: not a picture, or a damaged one ({error}); write it again', 'unreadable') from error
    require_upright(str(path), image)
    return values.astype(np.uint8) if values.dtype == bool else values


def require_same_colours(path: Path, values: Iterable[int], shown: dict[int, tuple[bytes, Path]]) -> None:
    """Check that the values of a mask have the colours that the palettes of other masks give them.

    Programs that make files small give the colours of each picture numbers of its own.

    Args:
        path: The mask, of any format; one without a palette passes.
        values: Its values.
        shown: Red, green and blue of each value so far, and the mask that has it; receives those of this mask.

    Raises:
        DataError: If a value has another colour than in a mask before.
    """
    with Image.open(path) as image:
        palette = bytes(image.getpalette() or ()) if image.mode == 'P' else b''
    own = {value: palette[3 * value : 3 * value + 3] for value in values if 3 * value < len(palette)}
    for value, colour in own.items():
        other, where = shown.get(value, (colour, path))
        if colour != other:
            raise DataError(
                f'{path}: {value} is the colour {colour.hex()} in its palette, and {other.hex()} in that of {where}: '
                'give the colours of the classes in class_dict.csv; or, if the numbers are right, save the masks '
                'without palettes',
                'palettes',
            )
    for value, colour in own.items():
        shown.setdefault(value, (colour, path))


def require_size(path: Path, mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask of a file, (H, W), if its picture has the same size.

    Raises:
        DataError: If it has another one.
    """
    if mask.shape != (height, width):
        raise DataError(
            f'{path}: the mask is {mask.shape[1]}x{mask.shape[0]} pixels, but its picture {width}x{height}; make them '
            'equal',
            'size mismatch',
        )
    return mask


def read_class_map(path: Path, colours: Mapping[int, int]) -> np.ndarray:
    """A mask of classes, (H, W) int32.

    Args:
        path: The file.
        colours: Class by colour, 65536 red + 256 green + blue; empty if they are not known.

    Raises:
        DataError: If it cannot be decoded, has colours that are not known, or no labels.
    """
    # The colours of a palette may have any order. And this is before read_map takes grey for numbers: all colours of a
    # picture may be grey.
    values = _read_values(path, as_colours=bool(colours))
    if not colours or values.ndim != 3 or values.shape[2] < 3:
        return _labels_of(path, read_map(path))
    own, places = _colours_of(values)
    unknown = [f'{colour:06x}' for colour in own.tolist() if colour not in colours]
    if unknown:
        raise DataError(
            f'{path}: no class has the colours {unknown[:5]}; add them to the file of the colours, class_dict.csv or '
            'labelmap.txt, or take it out if the masks have numbers',
            'colour mask',
        )
    return np.array([colours[colour] for colour in own.tolist()])[places].astype(np.int32)


def read_id_map(path: Path) -> np.ndarray:
    """A map of ids, (H, W) int32; each colour but black has one, too.

    Raises:
        DataError: If it cannot be decoded, is in JPEG, or has no ids.
    """
    values = read_map(path)
    if is_lossy(path):
        raise DataError(f'{path}: ids in JPEG, which changes them; write the maps again as PNG', 'JPEG mask')
    if values.ndim != 3:
        return _labels_of(path, values)
    own, places = _colours_of(values)
    return (np.cumsum(own > 0) * (own > 0))[places].astype(np.int32)


def _colours_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours of a map, ascending, and the position of each pixel's colour among them, (H, W)."""
    packed = values[..., :3].astype(np.int64) @ (65536, 256, 1)
    colours, places = np.unique(packed, return_inverse=True)
    return colours, places.reshape(packed.shape)


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
