"""What the data are like and what the machine is, in the numbers that decide."""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Hashable, Mapping, Optional, Sequence

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from PIL import ExifTags, Image
from rich.progress import track

from deepunetto_mm.ops import tabulate_regions, touching_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError

_SAMPLE = 48  # pictures whose values are looked at
_BIT_DEPTH = 24  # place in a PNG file
_COLOUR_SIDE = 64
_EVEN = 0.15
_DIM = 128
# Of two kinds of pictures: share of the variance between them, their distance in grey levels, and the fewest pictures.
_TWO_KINDS, _APART, _FEWEST = 0.85, 80, 4


@dataclass
class PictureFacts:
    """What one picture shows.

    Attributes:
        name: Its name in the dataset.
        size: Width and height.
        content: Digest of its pixels.
        pixels: (C + 1,) pixels of each class, and the ignored ones.
        areas: (R,) pixels of each region.
        sides: (R,) longer side of each region's box.
        groups, fine: (R,) their group and fine class, -1 without one.
        touching: Number of regions that touch another one of their group.
        mixed: Number of those that touch one of another fine class.
        neighbours: Number of regions that touch another one of any group.
        white: 95th percentile of red, green and blue around the objects.
        even: Share of what is around the objects within 15 % of that.
        brightest: 99.8th percentile of all values.
        brightness: Their median.
    """

    name: str
    size: tuple[int, int]
    content: str
    pixels: np.ndarray
    areas: np.ndarray
    sides: np.ndarray
    groups: np.ndarray
    fine: np.ndarray
    touching: int
    mixed: int
    neighbours: int
    white: np.ndarray
    even: float
    brightest: float
    brightness: float


@dataclass
class Fingerprint:
    """The data in numbers; areas and sizes in pixels of the pictures as they are.

    Attributes:
        pictures: Number of pictures.
        size: Median width and height.
        sizes: Smallest and largest picture.
        one_size: Whether the longer side varies by less than a half.
        bits: Bits of a channel, 8 or more.
        low, high: Range of the values, for more than 8 bits.
        classes: Share of the labelled pixels by class.
        names: Share of the labelled pixels by fine class.
        regions: Number of regions.
        regions_a_picture: Median.
        most_regions: In a picture.
        area: Of the regions, the 1, 5, 50, 95 and 99 % quantiles.
        side: Longer side of the boxes, the same quantiles.
        touching: Share of the regions that touch another one of their group.
        mixed: Share of the regions that touch one of their group with another fine class.
        neighbours: Share of the regions that touch another one of any group.
        unnamed: Share of the regions without fine class.
        without_region: Number of pictures without a region.
        fine_classes: Regions, pictures and median area by fine class.
        size_share: Share of the variance of log area, within groups, that lies between fine classes.
        white: Median brightness of the 95th percentile around the objects.
        even: Median share of what is around the objects that has about this colour.
        tint: Standard deviation of the logarithms of white's ratios blue : red and green : red, the larger one.
        dim: Share of the pictures that use less than half of the range of values.
    """

    pictures: int
    size: tuple[int, int]
    sizes: list[tuple[int, int]]
    one_size: bool
    bits: int
    low: float
    high: float
    classes: dict[str, float]
    names: dict[str, float] = field(default_factory=dict)
    regions: int = 0
    regions_a_picture: float = 0.0
    most_regions: int = 0
    area: list[float] = field(default_factory=list)
    side: list[float] = field(default_factory=list)
    touching: float = 0.0
    mixed: float = 0.0
    neighbours: float = 0.0
    unnamed: float = 0.0
    without_region: int = 0
    fine_classes: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    size_share: float = 0.0
    white: float = 0.0
    even: float = 0.0
    tint: float = 0.0
    dim: float = 0.0


@dataclass
class Machine:
    """What trains: cores that may be used, memory and GPU memory in GiB, the name of the GPU if there is one."""

    cores: int
    memory: float
    gpu: str
    gpu_memory: float
    torch: str


def look_at_machine(cores: int) -> Machine:
    """The machine of this process, which may use ``cores`` cores."""
    memory = 0.0
    if hasattr(os, 'sysconf') and 'SC_PHYS_PAGES' in os.sysconf_names:
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30
    gpu, gpu_memory = '', 0.0
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, gpu_memory = properties.name, properties.total_memory / 2**30
    return Machine(cores, round(memory, 1), gpu, round(gpu_memory, 1), f'{torch.__version__} on {platform.machine()}')


def look_at_pictures(
    dataset: BaseDataset, names: Sequence[str], taxonomy: Taxonomy
) -> tuple[list[PictureFacts], list[DataError]]:
    """Read every picture with its annotation; the errors are those of single pictures."""
    facts, problems = [], []
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for index, name in enumerate(track(names, 'Reading')):
            try:
                facts.append(_picture_facts(dataset.prepare_data(index), name, taxonomy))
            except DataError as error:
                problems.append(error)
            except RuntimeError as error:  # the dataset's, which names the files
                problems.append(DataError(str(error)))
    return facts, problems


def _picture_facts(results: Mapping[str, Any], name: str, taxonomy: Taxonomy) -> PictureFacts:
    image, mask, region_map = results['img'], results['gt_seg_map'], results['gt_region_map']
    regions = results['regions']
    count = len(taxonomy.classes)
    pixels = np.bincount(mask.ravel(), minlength=max(count, taxonomy.ignore_index + 1))
    ids, boxes, areas = tabulate_regions(region_map.astype(np.int64))
    order = np.searchsorted(ids, regions['ids'])
    labels = zip(regions['labels'].tolist(), regions['fine_labels'].tolist())
    labels_of_id = dict(zip(regions['ids'].tolist(), labels))  # too small regions are left out
    pairs = [pair for pair in touching_regions(region_map) if all(id_ in labels_of_id for id_ in pair)]
    alike = [pair for pair in pairs if labels_of_id[pair[0]][0] == labels_of_id[pair[1]][0]]
    close = {id_ for pair in alike for id_ in pair}
    unlike = [pair for pair in alike if -1 != labels_of_id[pair[0]][1] != labels_of_id[pair[1]][1] != -1]
    mixed = {id_ for pair in unlike for id_ in pair}
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    small = cv2.resize(image, (_COLOUR_SIDE, _COLOUR_SIDE), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    # The light shows on what is around the objects, whose own colours vary.
    places = cv2.resize(mask.astype(np.uint16), (_COLOUR_SIDE, _COLOUR_SIDE), interpolation=cv2.INTER_NEAREST).ravel()
    around = np.isin(places, [taxonomy.classes.index(name) for name in taxonomy.stuff_classes])
    small = small[around] if around.sum() > _COLOUR_SIDE else small
    small = small.astype(np.float64)  # 255 + 1 would be 0
    white = np.percentile(small, 95, axis=0)
    return PictureFacts(
        name,
        (image.shape[1], image.shape[0]),
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest(),
        np.append(pixels[:count], pixels[taxonomy.ignore_index]),
        areas[order],
        sides[order],
        regions['labels'],
        regions['fine_labels'],
        len(close),
        len(mixed),
        len({id_ for pair in pairs for id_ in pair}),
        white[::-1],
        float((np.abs((small + 1) / (white + 1) - 1).max(axis=1) < _EVEN).mean()),
        *np.percentile(image[::2, ::2], (99.8, 50)).tolist(),
    )


def rare_kind(facts: Sequence[PictureFacts]) -> list[PictureFacts]:
    """The fewer of two kinds of pictures, dark and bright ones, if there are two, and one has less than a third.

    The threshold is Otsu's, on the pictures' medians: with two kinds, most of the variance lies between them.
    """
    values = np.sort([item.brightness for item in facts])
    parts = [(values[:i], values[i:]) for i in range(1, len(values))]
    between = [len(low) * len(high) * (high.mean() - low.mean()) ** 2 for low, high in parts]
    if not between or max(between) < _TWO_KINDS * len(values) ** 2 * values.var():
        return []
    low, high = parts[int(np.argmax(between))]
    if (
        high.mean() - low.mean() < _APART
        or min(len(low), len(high)) < _FEWEST
        or 3 * min(len(low), len(high)) > len(values)
    ):
        return []
    return [item for item in facts if (item.brightness >= high[0]) == (len(high) < len(low))]


def look_at_bits(paths: Sequence[str]) -> tuple[int, float, float]:
    """Bits of a channel, and the range of the values of pictures of more than 8 bits.

    Raises:
        DataError: If some pictures have more bits than others.
    """
    bits, low, high = 8, [], []
    of_bits: dict[int, str] = {}
    # One of each kind of values that the headers say, so that a single picture of another kind is found.
    of_kind = {_values_of(path): path for path in paths}
    for path in dict.fromkeys([*list(paths)[:: max(1, len(paths) // _SAMPLE)], *of_kind.values()]):
        content = np.fromfile(path, np.uint8)
        stored: Optional[np.ndarray] = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        if stored is None:
            continue
        of_bits[stored.dtype.itemsize * 8] = path
        if stored.dtype != np.uint8:
            bits = max(bits, stored.dtype.itemsize * 8)
            values = stored[..., :3] if stored.ndim == 3 else stored
            values = values[np.isfinite(values)]
            if values.size:
                least, most = np.percentile(values, (0.1, 99.9)).tolist()
                low.append(least)
                high.append(max(most, least + 1))  # all values may be equal
    if len(of_bits) > 1:
        (few, one), *_, (many, other) = sorted(of_bits.items())
        raise DataError(
            f'{one} has {few} bits, and {other} {many}: one range of values is read for all pictures; save all alike'
        )
    return bits, min(low, default=0.0), max(high, default=255.0)


def _values_of(path: str) -> Hashable:
    """What a file's header says of the values of a channel; the path itself where only the whole file would."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as header:
                form, tags = header.format, getattr(header, 'tag_v2', {})
    except Exception:  # Pillow's readers have several; what cannot be read is reported with its annotation
        return path
    if form == 'PNG':  # Pillow hides 16 bits of colours
        with open(path, 'rb') as file:
            return file.read(_BIT_DEPTH + 1)[_BIT_DEPTH] > 8
    if form == 'TIFF':
        return tags.get(ExifTags.Base.BitsPerSample), tags.get(ExifTags.Base.SampleFormat)
    return path if form in ('PPM', 'JPEG2000') else form


def summarise(facts: Sequence[PictureFacts], taxonomy: Taxonomy, bits: tuple[int, float, float]) -> Fingerprint:
    """The numbers of all pictures."""
    sizes = sorted({item.size for item in facts}, key=lambda size: size[0] * size[1])
    longest = [max(item.size) for item in facts]
    pixels = np.sum([item.pixels for item in facts], axis=0)
    shares = pixels[:-1] / max(1, pixels[:-1].sum())
    found = Fingerprint(
        len(facts),
        (int(np.median([item.size[0] for item in facts])), int(np.median([item.size[1] for item in facts]))),
        [sizes[0], sizes[-1]],
        max(longest) < 1.5 * min(longest),
        *bits,
        classes=dict(zip(taxonomy.classes, shares.round(6).tolist())),
    )
    whites = np.stack([item.white for item in facts]) + 1
    ratios = np.log(whites[:, 1:] / whites[:, :1])
    found.white, found.tint = float(np.median(whites)) - 1, float(ratios.std(axis=0).max())
    found.even = float(np.median([item.even for item in facts]))
    found.dim = float(np.mean([item.brightest < _DIM for item in facts]))
    numbers = [len(item.areas) for item in facts]
    areas = np.concatenate([item.areas for item in facts])
    if not len(areas):
        found.without_region = len(facts)
        return found
    fine = np.concatenate([item.fine for item in facts])
    found.regions, found.regions_a_picture, found.most_regions = sum(numbers), float(np.median(numbers)), max(numbers)
    quantiles = [1, 5, 50, 95, 99]
    found.area = np.percentile(areas, quantiles).tolist()
    found.side = np.percentile(np.concatenate([item.sides for item in facts]), quantiles).tolist()
    found.touching = sum(item.touching for item in facts) / len(areas)
    found.mixed = sum(item.mixed for item in facts) / len(areas)
    found.neighbours = sum(item.neighbours for item in facts) / len(areas)
    found.unnamed = float((fine < 0).mean())
    found.without_region = numbers.count(0)
    for index, name in enumerate(taxonomy.fine_classes):
        own = areas[fine == index]
        median = float(np.median(own)) if len(own) else 0.0
        found.fine_classes[name] = len(own), sum((item.fine == index).any() for item in facts), median
        found.names[name] = round(float(own.sum() / max(1, pixels[:-1].sum())), 6)
    named = fine >= 0
    groups, logs, fine = np.concatenate([item.groups for item in facts])[named], np.log(areas[named]), fine[named]
    for group in np.unique(groups):
        logs[groups == group] -= logs[groups == group].mean()
    found.size_share = _between(logs, fine)
    return found


def _between(values: np.ndarray, labels: np.ndarray) -> float:
    """Share of the variance that lies between the labels."""
    if not len(values) or not values.var():
        return 0.0
    means = {label: values[labels == label].mean() for label in np.unique(labels)}
    return float(np.var([means[label] for label in labels.tolist()]) / values.var())


def find_slips(counts: Mapping[str, int]) -> list[tuple[str, str, bool]]:
    """Rare names that may be a common one misspelt: both, and whether they differ by case, spaces or hyphens alone."""
    found = []
    for name, number in sorted(counts.items(), key=lambda item: item[1]):
        others = [other for other in counts if other != name and counts[other] >= number]
        same = [other for other in others if _bare(other) == _bare(name)]
        close = difflib.get_close_matches(name, [other for other in others if counts[other] >= 5 * number], 1, 0.85)
        letters = [other for other in close if _without_digits(other) != _without_digits(name) and number <= 3]
        if same or letters:
            other = (same or letters)[0]
            if (other, name, bool(same)) not in found:
                found.append((name, other, bool(same)))
    return found


def _bare(name: str) -> str:
    # Other marks mean something, and so does what parts numbers: CD4+ and CD4-, grade 1-2 and grade 12, K1_1 and K11.
    return re.sub(r'(?<!\d) | (?!\d)|(?<=[^\W\d_])-(?=\w)', '', re.sub(r'[\s_]+', ' ', name.casefold()))


def _without_digits(name: str) -> str:
    return ''.join(letter for letter in name if not letter.isdigit())


def count_names(facts: Sequence[PictureFacts], taxonomy: Taxonomy) -> Counter:
    """Regions by fine class, of those that occur."""
    labels = np.concatenate([item.fine for item in facts]) if facts else np.zeros(0, np.int64)
    return Counter(taxonomy.fine_classes[label] for label in labels.tolist() if label >= 0)
