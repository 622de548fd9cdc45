"""A sample of a dataset as its pipeline reads it: its contents and its faults."""

import hashlib
import os
import warnings
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image

from deepunetto_mm.datasets import DataError, LoadRegions
from deepunetto_mm.datasets.integrity import PATHS, require_sound
from deepunetto_mm.datasets.picture_losses import losses_of_reading, unread_values
from deepunetto_mm.datasets.transforms.region_files import require_shape
from deepunetto_mm.structures import Taxonomy

from .dataset_report import Finding

_WHAT = dict(img_path='picture', seg_map_path='mask', region_map_path='region map')
# Raised by transforms that are used incorrectly; all other exceptions are attributed to the file.
_MISUSE = (ValueError, KeyError, TypeError, AttributeError)


@dataclass
class SampleFacts:
    """The contents of a sample, for a report.

    Attributes:
        path: Its picture.
        files: Its mask and its region map, if any.
        findings: Its faults.
        size: Width and height of the picture; None if it could not be read.
        content: Digest of the decoded pixels; None if it could not be read, or has a single colour.
        class_pixels: (C + 1,) int64, pixels by segmentation class, and then the ignored ones; None without mask or
            classes.
        labels, fine_labels, areas: (R,) int64, group, fine class or -1, and pixels of each region.
        picture_label: Fine class of the whole picture, if it has one.
        palette: Whether the mask's file has a palette.
        unknown_labels: Pixels by value, of values that no class has.
    """

    path: str
    files: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    size: Optional[tuple[int, int]] = None
    content: Optional[bytes] = None
    class_pixels: Optional[np.ndarray] = None
    labels: Optional[np.ndarray] = None
    fine_labels: Optional[np.ndarray] = None
    areas: Optional[np.ndarray] = None
    picture_label: Optional[int] = None
    palette: bool = False
    unknown_labels: dict[int, int] = field(default_factory=dict)


class SampleReader:
    """Reads samples up to the last transform that loads something, so that augmentation costs nothing.

    An item is the :class:`SampleFacts` of a sample; faults of files do not raise. It can be used with a DataLoader.

    Args:
        dataset: Any subclass of mmengine's :class:`BaseDataset`. Masks are checked by its taxonomy, or by its
            ``classes``, or only by their size.
        indices: The samples to read; all by default.
    """

    def __init__(self, dataset: BaseDataset, indices: Optional[Sequence[int]] = None) -> None:
        self.dataset = dataset
        self.indices = range(len(dataset)) if indices is None else indices
        self.taxonomy = taxonomy_of(dataset)
        transforms = list(dataset.pipeline.transforms)
        loading = [number for number, item in enumerate(transforms, 1) if type(item).__name__.startswith('Load')]
        self._transforms: list[Callable] = transforms[: loading[-1]] if loading else []

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> SampleFacts:
        info = self.dataset.get_data_info(self.indices[position])
        facts = SampleFacts(self.path(position), [info[key] for key in PATHS[1:] if key in info])
        facts.picture_label = info.get('gt_label') if isinstance(info.get('gt_label'), int) else None
        if getattr(self.dataset, 'backend_args', None) is None:
            facts.findings += _file_findings(info)
        if not facts.findings:
            with warnings.catch_warnings():
                # Transforms warn only at the first file; here all files are checked.
                warnings.simplefilter('ignore')
                self._read(info, facts)
        return facts

    def path(self, position: int) -> str:
        """The path of an item's picture."""
        index = self.indices[position]
        return str(self.dataset.get_data_info(index).get('img_path', f'sample {index}'))

    def _read(self, results: dict, facts: SampleFacts) -> None:
        """Run the transforms one by one, to keep what was read before a failure."""
        try:
            _take_picture(results, facts)
            for transform in self._transforms:
                results = transform(results)
                if results is None:
                    raise DataError(f'{facts.path}: {type(transform).__name__} could not read it', 'unreadable file')
                if facts.size is None and 'img' in results and os.path.isfile(facts.path):
                    with_masks = 'seg_map_path' in results or 'coco' in results
                    losses = losses_of_reading(facts.path, results['img'], transform, with_masks)
                    facts.findings += [Finding('warning', loss.kind, str(loss)) for loss in losses]
                _take_picture(results, facts)
            if results.get('seg_map_path') and 'coco' not in results and 'gt_seg_map' in results:
                facts.palette = _has_palette(results['seg_map_path'])
            self._require_mask(results)
            self._take_mask(results, facts)
        except MemoryError:
            raise
        except DataError as error:
            facts.findings.append(Finding('error', error.kind, str(error)))
            facts.unknown_labels = error.labels
        except Exception as error:
            kind = 'pipeline' if isinstance(error, _MISUSE) else 'unreadable file'
            reads_mask = facts.size is not None and 'gt_seg_map' not in results
            path = results.get('seg_map_path', facts.path) if reads_mask else facts.path
            what = ' '.join(f'{type(error).__name__}: {error}'.split())
            if facts.size is None and os.path.isfile(facts.path):
                what = unread_values(facts.path) or what
            facts.findings.append(Finding('error', kind, f'{path}: {what}'))

    def _require_mask(self, results: dict) -> None:
        """Check a mask that the pipeline has not checked, as in mmseg's own."""
        if 'gt_seg_map' not in results or 'regions' in results:
            return
        path = results.get('seg_map_path') or f'mask made of {results.get("img_path")}'
        require_shape(path, 'mask', results['gt_seg_map'], results, 'a class')
        if self.taxonomy is not None:
            LoadRegions().transform(dict(results, taxonomy=self.taxonomy, seg_fields=[]))

    def _take_mask(self, results: dict, facts: SampleFacts) -> None:
        if 'gt_seg_map' not in results:
            return
        if self.taxonomy is not None:
            count, ignored, labels = len(self.taxonomy.classes), self.taxonomy.ignore_index, results['gt_seg_map']
            pixels = np.bincount(labels[(labels >= 0) & (labels < count)], minlength=count)
            facts.class_pixels = np.append(pixels, np.count_nonzero(labels == ignored))
            if not facts.class_pixels[:-1].any():
                path = results.get('seg_map_path') or f'mask made of {facts.path}'
                facts.findings.append(
                    Finding('warning', 'ignored only', f'{path}: every pixel has the value {ignored}, which is ignored')
                )
        if 'regions' in results:
            regions = results['regions']
            facts.labels, facts.fine_labels = regions['labels'], regions['fine_labels']
            areas = np.bincount(results['gt_region_map'].ravel(), minlength=regions['ids'].max(initial=0) + 1)
            facts.areas = areas[regions['ids']]


def taxonomy_of(dataset: BaseDataset) -> Optional[Taxonomy]:
    """The taxonomy of a dataset; for one of mmseg, only its classes; None if it has none."""
    metainfo = dataset.metainfo
    if metainfo.get('taxonomy'):
        return Taxonomy.from_dict(metainfo['taxonomy'])
    # mmpretrain's datasets also have classes: of pictures, not of pixels.
    if metainfo.get('classes') and hasattr(dataset, 'ignore_index'):
        return Taxonomy(tuple(metainfo['classes']), ignore_index=dataset.ignore_index)
    return None


def _file_findings(info: dict) -> list[Finding]:
    findings = []
    for key in PATHS:
        # A dataset without files has names instead of paths.
        if key == 'img_path' and 'img' in info:
            continue
        try:
            require_sound(info, key)
        except DataError as error:
            findings.append(Finding('error', error.kind, str(error)))
        except FileNotFoundError:
            message = f'{info[key]}: no such file, the {_WHAT[key]} of a sample; write it, or take the sample out'
            findings.append(Finding('error', 'missing file', message))
        except OSError as error:
            findings.append(Finding('error', 'unreadable file', f'{info[key]}: {error.strerror}'))
    return findings


def _take_picture(results: dict, facts: SampleFacts) -> None:
    if facts.size is not None or 'img' not in results:
        return
    image = np.ascontiguousarray(results['img'])
    facts.size = image.shape[1], image.shape[0]
    if (image == image[0, 0]).all():
        message = f'{facts.path}: every pixel has the same colour; look whether it was written right'
        facts.findings.append(Finding('warning', 'picture of one colour', message))
    else:
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(image.data)
        facts.content = digest.digest()


def _has_palette(path: str) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode == 'P'
    except OSError:  # on a remote backend
        return False
