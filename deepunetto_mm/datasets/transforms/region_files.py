"""Region maps as files: ids of any type to regions that agree with the mask; shared results of a pipeline."""

from typing import NamedTuple, Optional, Sequence

import mmcv
import numpy as np
from mmengine import fileio

from deepunetto_mm.ops import RegionTable, number_regions
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError

_LARGEST_ID = 2**16 - 1


def sample_taxonomy(results: dict, transform: str) -> Taxonomy:
    """The taxonomy that the datasets of this package add to each sample.

    Args:
        results: The sample in a pipeline.
        transform: Name of the transform that needs the taxonomy.

    Raises:
        TaxonomyError: If the sample comes from another dataset, such as one of mmseg's.
    """
    if results.get('taxonomy') is None:
        raise TaxonomyError(
            f'{transform}: the sample {results.get("img_path")} has no taxonomy, because its dataset is not one of '
            f'deepunetto_mm; use deepunetto_mm.CoarseFineDataset with metainfo=dict(taxonomy=...), or leave '
            f'{transform} out of the pipeline'
        )
    return results['taxonomy']


def read_labels(path: str, backend_args: Optional[dict] = None) -> np.ndarray:
    """Read a label picture as stored: palette files as indices, 16 bits unchanged; (H, W) integers."""
    content = fileio.get(path, backend_args=backend_args)
    labels = mmcv.imfrombytes(content, flag='unchanged', backend='pillow')
    return labels.astype(np.uint8) if labels.dtype == bool else labels  # a file of 1 bit


def read_regions(
    label_map: np.ndarray,
    owner_of_label: Sequence[int],
    results: dict,
    min_area: int = 1,
    backend_args: Optional[dict] = None,
    min_region_id: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Regions of the file ``results['region_map_path']``, each assigned to the owner of most of its pixels.

    Args:
        label_map: (H, W) integers 0..255, labels of the picture.
        owner_of_label: Owner of each label, a group or a fine class; -1 for stuff. Others, such as 255, are ignored.
        results: With ``region_map_path``, ``seg_map_path``, ``ori_shape``, ``taxonomy``, optionally ``region_names``.
        min_area: Regions with fewer pixels are left out.
        backend_args: Options of mmengine's file backends.
        min_region_id: Lower values of the file are not regions.

    Returns:
        The region map (H, W) int32 with ids 1, 2, ... (never 255), those ids (R,), their owners (R,), and the same
        regions' ids in the file (R,), all int64. Pixels of a region with another owner are removed from it.

    Raises:
        DataError: If the file's shape is wrong, a region covers only stuff, or a labelled region is absent.
    """
    path = results['region_map_path']
    taxonomy: Taxonomy = results['taxonomy']
    raw = read_labels(path, backend_args).astype(np.int64)
    require_shape(path, 'region map', raw, results, 'a region id')
    # What follows takes memory by the largest id. Of 32 bits without a sign, Pillow reads ids from 2^31 on as negative.
    if raw.max(initial=0) > _LARGEST_ID or raw.min(initial=0) < 0:
        wrong = raw.min() if raw.min() < 0 else raw.max()
        raise DataError(
            f'{path}: the region map has the id {wrong}, but the largest allowed is {_LARGEST_ID}, and 0 is for no '
            'region; number the regions of each picture separately',
            'region map',
        )
    raw[raw < min_region_id] = 0
    present = np.flatnonzero(np.bincount(raw.ravel())[1:]) + 1
    names = results.get('region_names')
    absent = sorted(set(names) - set(present.tolist())) if isinstance(names, dict) else []
    if absent:
        raise DataError(
            f'{path}: the table of fine labels names the regions {absent}, which have no pixel here; '
            f'the map has {some(present)}; fix the table or the map',
            'region map',
        )

    # Count the pixels of each region by their owner; column 0 is stuff, column 1 is ignored.
    owners = np.asarray(owner_of_label)
    columns = np.ones(max(len(owners), int(label_map.max(initial=0)) + 1), np.int64)
    columns[: len(owners)] = np.where(owners < 0, 0, owners + 2)
    position = np.zeros(raw.max(initial=0) + 1, np.int64)
    position[present] = np.arange(1, len(present) + 1)
    compact, column_of_pixel = position[raw], columns[label_map]
    width = owners.max(initial=-1) + 3
    votes = np.bincount((compact * width + column_of_pixel).ravel(), minlength=(len(present) + 1) * width)
    votes = votes.reshape(len(present) + 1, width)[1:]

    areas = votes[:, 2:].max(axis=1, initial=0)
    winners = votes[:, 2:].argmax(axis=1) if width > 2 else np.zeros(len(present), np.int64)
    stray = present[(areas == 0) & (votes[:, 0] > 0)]
    if len(stray):
        raise DataError(
            f'{path}: the regions {some(stray)} cover no pixel of any group, because the mask '
            f'{results["seg_map_path"]} has only {list(taxonomy.stuff_classes)} there; fix the map or '
            'the mask',
            'region map',
        )
    kept = areas >= max(min_area, 1)
    ids = number_regions(int(kept.sum()))
    new_id, own_column = np.zeros(len(present) + 1, np.int32), np.full(len(present) + 1, -1)
    new_id[1:][kept], own_column[1:] = ids, winners + 2
    region_map = np.where(own_column[compact] == column_of_pixel, new_id[compact], 0).astype(np.int32)
    return region_map, ids, winners[kept].astype(np.int64), present[kept]


def _label_type(count: int, ignore_index: int) -> type:
    """The smallest type of a map with labels below ``count`` and the ignore index."""
    highest = max(count - 1, ignore_index)
    return np.int32 if ignore_index < 0 or highest >= 2**16 else np.uint8 if highest < 256 else np.uint16


def put_annotations(
    results: dict,
    composed: np.ndarray,
    region_map: np.ndarray,
    ids: np.ndarray,
    fine_labels: np.ndarray,
    table: Optional[RegionTable] = None,
) -> None:
    """Add a composed map and its regions to the results of a pipeline, in the form of ``LoadRegions``.

    Args:
        results: With ``taxonomy`` and ``seg_fields``; gets ``gt_seg_map`` and ``gt_fine_map`` (H, W),
            ``gt_region_map`` and ``regions``.
        composed: (H, W) integers, composed labels or the ignore index.
        region_map: (H, W) int32, region ids.
        ids: (R,) int64, those ids.
        fine_labels: (R,) int64, fine classes of these regions.
        table: As in :func:`put_regions`.
    """
    taxonomy: Taxonomy = results['taxonomy']
    count, ignored = len(taxonomy.composed_classes), taxonomy.composed_ignore_index
    class_of_label = np.append(np.asarray(taxonomy.class_of_composed, np.int64), taxonomy.ignore_index)
    classes = class_of_label[np.where(composed == ignored, count, composed)]
    labels = np.asarray([*taxonomy.group_of_fine, -1], np.int64)[fine_labels]
    results['gt_seg_map'] = classes.astype(_label_type(len(taxonomy.classes), taxonomy.ignore_index))
    results['gt_fine_map'] = composed.astype(_label_type(count, ignored))
    results['seg_fields'].extend(['gt_seg_map', 'gt_fine_map'])
    put_regions(results, region_map, ids, labels, fine_labels, table)


def put_regions(
    results: dict,
    region_map: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    fine_labels: np.ndarray,
    table: Optional[RegionTable] = None,
) -> None:
    """Put a region map and its regions into the results of a pipeline; the mask is in them already.

    Args:
        results: With ``gt_seg_map`` and ``seg_fields``; gets ``gt_region_map``, ``regions`` and ``loaded_regions``.
        region_map: (H, W) int32, region ids, which agree with the mask.
        ids, labels, fine_labels: (R,) int64: these ids, their groups, their fine classes.
        table: Of the region map, if its boxes and areas are known.
    """
    results['gt_region_map'] = region_map
    results['regions'] = dict(ids=ids, labels=labels, fine_labels=fine_labels)
    results['seg_fields'].append('gt_region_map')
    # Copies: some transforms write into the maps.
    results['loaded_regions'] = LoadedRegions(results['gt_seg_map'].copy(), region_map.copy(), table)


class LoadedRegions(NamedTuple):
    """What a loader knows of the regions of a picture, which holds as long as its maps are the same."""

    mask: np.ndarray  # (H, W) integers
    region_map: np.ndarray  # (H, W) int32, in agreement with the mask
    table: Optional[RegionTable]  # its boxes and areas, if they are known

    def are_those_of(self, results: dict) -> bool:
        """Whether no transform has changed a pixel of mask and region map since."""
        return np.array_equal(self.region_map, results['gt_region_map']) and np.array_equal(
            self.mask, results['gt_seg_map']
        )


def require_shape(path: str, what: str, array: np.ndarray, results: dict, content: str) -> None:
    """Raise if a label picture has channels or another size than its picture.

    Raises:
        DataError: If so.
    """
    if array.ndim != 2:
        raise DataError(
            f'{path}: the {what} has shape {array.shape}, a colour picture; save it with one channel, '
            f'{content} per pixel (8-bit grey or palette PNG; region maps may have 16 bits)',
            f'colour {what}',
        )
    height, width = results['ori_shape'][:2]
    if array.shape != (height, width):
        turned = (
            ' (a photograph is rotated by its EXIF orientation when read; a mask is not)'
            if array.shape == (width, height)
            else ''
        )
        raise DataError(
            f'{path}: the {what} is {array.shape[1]}x{array.shape[0]} pixels, but its picture '
            f'{results.get("img_path")} {width}x{height}{turned}; make them equal. (If the pipeline '
            'resizes between LoadAnnotations and LoadRegions, let LoadRegions come first.)',
            'size mismatch',
        )


def some(ids: np.ndarray) -> str:
    """The first ten numbers in words, and the number of further ones."""
    return str(ids[:10].tolist()) + (f' and {len(ids) - 10} more' if len(ids) > 10 else '')
