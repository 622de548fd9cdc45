"""The pictures of a page, what was predicted of them, and what a person corrected."""

import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath
from typing import Any, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

from deepunetto_mm.datasets.integrity import require_sound
from deepunetto_mm.runtime import describe_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.files import PictureNames, printable
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
        held: Bytes of all pictures together, as PNG, and of their maps, compressed.
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
        bits: Of a region id: 16, or 32 if there are ids above 65,535.
        packed_labels, packed_regions: Of :attr:`labels` and :attr:`region_map`, compressed: as they are they would take
            more memory than the picture.
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
    bits: int
    packed_labels: bytes
    packed_regions: bytes
    regions: list[dict[str, Any]]
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> np.ndarray:
        """(H, W) uint16, segmentation classes."""
        return self._unpack(self.packed_labels, 16)

    @property
    def region_map(self) -> np.ndarray:
        """(H, W) uint16 or uint32, region ids."""
        return self._unpack(self.packed_regions, self.bits)

    @property
    def held(self) -> int:
        """Bytes."""
        return len(self.png) + len(self.packed_labels) + len(self.packed_regions)

    def _unpack(self, packed: bytes, bits: int) -> np.ndarray:
        return np.frombuffer(zlib.decompress(packed), f'uint{bits}').reshape(self.height, self.width)

    def describe(self) -> dict[str, Any]:
        """What the page shows, in values that JSON supports; maps are fetched by themselves."""
        regions = [{key: value for key, value in region.items() if key != 'mask'} for region in self.regions]
        return dict(
            id=self.id,
            name=self.name,
            width=self.width,
            height=self.height,
            bits=self.bits,
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
        name = printable(name)
        png = cv2.imencode('.png', image)[1].tobytes()
        if sum(picture.held for picture in self.pictures) + len(png) > self.limits.held:
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
        bits = 16 if found.region_map.max(initial=0) <= _WIDEST_OF_16_BITS else 32
        number = next(self._ids)
        picture = Picture(
            number,
            name,
            self._stems(f'{number}/{name}'),
            image.shape[1],
            image.shape[0],
            png,
            bits,
            _pack(found.labels, 16),
            _pack(found.region_map, bits),
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

    def correct(self, number: int, region_id: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Say what a region is.

        Args:
            number: The picture.
            region_id: The region.
            changes: ``fine_class``, its name, or None for the predicted one; ``dropped``, whether it is not an object.
                What is absent stays.

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
        if 'fine_class' in changes:
            name = changes['fine_class']
            if name is not None:
                self.model.taxonomy.fine_index(name)
            region['corrected'] = None if name == region['fine_class'] else name
        region['dropped'] = changes.get('dropped', region['dropped'])
        return {key: value for key, value in region.items() if key != 'mask'}


def _pack(values: np.ndarray, bits: int) -> bytes:
    return zlib.compress(values.astype(f'uint{bits}').tobytes(), 1)
