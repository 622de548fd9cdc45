"""The pictures of a page, what was predicted of them, and what a person corrected."""

import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath
from typing import Any, Optional, Sequence

import cv2
import numpy as np
from PIL import Image

from deepunetto_mm.datasets.integrity import require_sound
from deepunetto_mm.runtime import describe_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import PictureNames
from deepunetto_mm.utils.picture_files import SUFFIXES

from .models import Model

_LIKELIEST = 5
_WIDEST_OF_16_BITS = 2**16 - 1


@dataclass(frozen=True)
class Limits:
    """What a page accepts.

    Attributes:
        upload: Bytes of a file.
        pixels: Pixels of a picture.
        held: Bytes of all pictures together, as PNG.
    """

    upload: int = 50_000_000
    pixels: int = 25_000_000
    held: int = 1_000_000_000


class FullError(ValueError):
    """The pictures together take more than the page may hold."""


@dataclass
class Picture:
    """A picture with its prediction.

    Attributes:
        id: Of the page.
        name: Of the file that was sent.
        stem: A unique name that is safe in a folder.
        width, height: In pixels.
        png: The picture as the network saw it.
        labels: (H, W) uint16, segmentation classes.
        region_map: (H, W) uint16, or uint32 if there are ids above 65,535.
        regions: As of :func:`~deepunetto_mm.runtime.describe_regions`, and of a person: ``corrected``, another fine
            class or None, and ``dropped``.
        seconds: What the prediction took.
        notes: What was lost in reading the file.
    """

    id: int
    name: str
    stem: str
    width: int
    height: int
    png: bytes
    labels: np.ndarray
    region_map: np.ndarray
    regions: list[dict[str, Any]]
    seconds: float
    notes: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """What the page shows, in values that JSON supports; maps are fetched by themselves."""
        regions = [{key: value for key, value in region.items() if key != 'mask'} for region in self.regions]
        return dict(
            id=self.id,
            name=self.name,
            width=self.width,
            height=self.height,
            bits=8 * self.region_map.itemsize,
            seconds=round(self.seconds, 3),
            notes=self.notes,
            regions=regions,
        )

    def kept(self, taxonomy: Taxonomy) -> list[dict[str, Any]]:
        """The regions that were not dropped, with the corrected names and their groups.

        ``predicted`` is the name before a correction, and ``fine_score`` its score.
        """
        kept = []
        for region in self.regions:
            if not region['dropped']:
                name = region['corrected'] or region['fine_class']
                group = taxonomy.groups[taxonomy.group_of_fine[taxonomy.fine_index(name)]].name
                new = dict(region, fine_class=name, group=group, predicted=region['fine_class'])
                kept.append({key: value for key, value in new.items() if key not in ('corrected', 'dropped')})
        return kept


class Gallery:
    """The pictures that one page has sent, in their order, in memory.

    Args:
        model: The network.
        limits: What is accepted.

    Attributes:
        lock: Held while the network predicts.
    """

    def __init__(self, model: Model, limits: Limits = Limits()) -> None:
        self.model, self.limits = model, limits
        self._pictures: dict[int, Picture] = {}
        self._ids, self._stems = count(1), PictureNames()
        self.lock = threading.Lock()  # one prediction at a time

    def add(self, name: str, content: bytes) -> Picture:
        """Read and predict a picture.

        Args:
            name: Of its file.
            content: Of its file.

        Raises:
            DataError: If it is not a picture, is damaged, or has too many pixels.
            FullError: If there is no room for it.
        """
        suffix = PurePath(name).suffix.lower()
        if suffix not in SUFFIXES:
            raise DataError(f'{name} is not a picture by its name; these are: {", ".join(SUFFIXES)}')
        with self.lock, tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f'picture{suffix}')
            path.write_bytes(content)
            try:
                self._require_small(path)
                image, losses = self.model.read(path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), name)) from error
            notes = [str(loss).replace(str(path), name) for loss in losses]
            return self._predict(name, image, notes)

    def add_array(self, name: str, image: np.ndarray, notes: Sequence[str] = ()) -> Picture:
        """Predict a picture (H, W, 3) uint8 BGR that was not sent; raises FullError."""
        with self.lock:
            return self._predict(name, image, list(notes))

    def _require_small(self, path: Path) -> None:
        require_sound(dict(img_path=str(path)), 'img_path')
        with Image.open(path) as header:
            width, height = header.size
        if width * height > self.limits.pixels:
            raise DataError(
                f'{path} has {width}x{height} pixels; the page shows at most {self.limits.pixels / 1e6:g} million: '
                'use a smaller picture, or demo/image_demo.py'
            )

    def _predict(self, name: str, image: np.ndarray, notes: list[str]) -> Picture:
        png = cv2.imencode('.png', image)[1].tobytes()
        if sum(len(picture.png) for picture in self.pictures) + len(png) > self.limits.held:
            raise FullError(
                f'there is no room for {name}: the page holds at most {self.limits.held / 1e6:g} MB of pictures; save '
                'your work and remove some'
            )
        start = time.perf_counter()
        found = self.model.predict(image)
        seconds = time.perf_counter() - start
        if found.regions is None or found.region_map is None:
            raise ValueError('the network proposes no regions')
        regions = describe_regions(found.regions, found.region_map, self.model.taxonomy, _LIKELIEST)
        highest = int(found.region_map.max(initial=0))
        number = next(self._ids)
        picture = Picture(
            number,
            name,
            self._stems(f'{number}/{name}'),
            image.shape[1],
            image.shape[0],
            png,
            found.labels.astype(np.uint16),
            found.region_map.astype(np.uint16 if highest <= _WIDEST_OF_16_BITS else np.uint32),
            [dict(region, corrected=None, dropped=False) for region in regions],
            seconds,
            notes,
        )
        self._pictures[number] = picture
        return picture

    @property
    def pictures(self) -> Sequence[Picture]:
        """All pictures, in the order in which they came."""
        return list(self._pictures.values())

    def get(self, number: int) -> Picture:
        """A picture; KeyError if there is no such one, with a message."""
        if number not in self._pictures:
            raise KeyError('the server no longer has this picture; add it again')
        return self._pictures[number]

    def remove(self, number: int) -> None:
        """Remove a picture; KeyError as of :meth:`get`."""
        del self._pictures[self.get(number).id]

    def correct(self, number: int, region_id: int, fine_class: Optional[str], dropped: bool) -> dict[str, Any]:
        """Say what a region is.

        Args:
            number: The picture.
            region_id: The region.
            fine_class: Its name; None for the predicted one.
            dropped: Whether it is not an object.

        Returns:
            The region, as in :meth:`Picture.describe`.

        Raises:
            KeyError: If there is no such picture or region.
            TaxonomyError: If there is no such fine class.
        """
        picture = self.get(number)
        region = next((one for one in picture.regions if one['id'] == region_id), None)
        if region is None:
            raise KeyError(f'{picture.name} has no region {region_id}')
        if fine_class is not None:
            self.model.taxonomy.fine_index(fine_class)
        region['corrected'] = None if fine_class == region['fine_class'] else fine_class
        region['dropped'] = dropped
        return {key: value for key, value in region.items() if key != 'mask'}
