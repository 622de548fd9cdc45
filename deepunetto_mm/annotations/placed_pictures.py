"""The pictures of a written dataset: links to those that were read, or copies in one format."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np
from PIL import ExifTags, Image

from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import link_file, write_whole
from deepunetto_mm.utils.picture_files import read_picture

from .scenes import Scene

_SAME_FORMAT = {'.jpeg': '.jpg', '.tiff': '.tif'}
# Pictures of more than 8 bits are not cut to 8 in files of these formats.
_KEEPS_16_BITS, _KEEPS_ALL_BITS = ('.png', '.tif', '.pgm', '.ppm', '.jp2'), ('.tif',)


class PlacedPictures:
    """Pictures in the folder ``images`` of a dataset, all with one suffix, that of most of them.

    Args:
        root: Folder of the dataset.
        pictures: All that will be placed, one at least.
        notes: Receives what a user should know.
    """

    def __init__(self, root: Path, pictures: Sequence[Path], notes: list[str]) -> None:
        self.root, self.notes = root, notes
        counts = Counter(_suffix(picture) for picture in pictures)
        self.suffix = counts.most_common(1)[0][0]
        if len(counts) > 1:
            notes.append(
                f'the pictures end in {dict(counts)}: those of another suffix were written again as {self.suffix}'
            )

    def place(self, scene: Scene) -> tuple[int, int]:
        """Link or write the picture; returns height and width as ``LoadImageFromFile`` reads it.

        Raises:
            DataError: If it cannot be read, its annotation has another size, or the format cannot have its values.
        """
        path = scene.picture
        try:
            with Image.open(path) as header:
                width, height = header.size
                orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
                form = header.format
                pages = getattr(header, 'n_frames', 1) if form in ('TIFF', 'GIF') else 1
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(
                f'{path}: not a picture, or a damaged one, or of more than four bands ({error}); write it again',
                'unreadable',
            ) from error
        if pages > 1:
            self.notes.append(
                f'{path}: only the first of its {pages} pages is read; if all count, write a file for each'
            )
        stored = height, width
        shown = (width, height) if orientation in (5, 6, 7, 8) else stored
        if stored != shown and form == 'TIFF':  # Pillow's header has the size before or after turning, by its version
            stored = shown = read_picture(path).shape[:2]
        target = self._target(scene)
        if scene.size in (None, shown):
            if orientation not in (0, 1) and scene.size == stored:
                self.notes.append(
                    f'{path}: its EXIF orientation {orientation} turns it; the annotation is taken as drawn on the '
                    'turned picture'
                )
            if _suffix(path) == self.suffix:
                link_file(path, target, os.symlink)
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

    def remove(self, scene: Scene) -> None:
        """Take the picture away, if it was placed."""
        self._target(scene).unlink(missing_ok=True)

    def _target(self, scene: Scene) -> Path:
        return self.root / 'images' / (scene.place + self.suffix)

    def _write_again(self, path: Path, target: Path, flag: int) -> None:
        image = read_picture(path, flag)
        keeps = _KEEPS_16_BITS if image.dtype == np.uint16 else _KEEPS_ALL_BITS
        options = [cv2.IMWRITE_JPEG_QUALITY, 97] if self.suffix == '.jpg' else []
        can = image.dtype == np.uint8 or self.suffix in keeps
        done, content = cv2.imencode(self.suffix, image, options) if can else (False, image)
        if not done:
            bands = 1 if image.ndim == 2 else image.shape[2]
            raise DataError(
                f'{path}: {bands} bands of {image.dtype}, which {self.suffix}, the format of most pictures, cannot '
                'have; save all in one format, PNG, or TIFF for more than 16 bits',
                'mixed suffixes',
            )
        write_whole(target, content.tobytes())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return _SAME_FORMAT.get(suffix, suffix)
