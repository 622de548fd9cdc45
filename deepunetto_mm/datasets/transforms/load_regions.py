"""Regions of a training or test picture, from its mask or from a region map."""

from __future__ import annotations

import warnings
from typing import Optional

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio

from deepunetto_mm.ops import connected_regions, number_regions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError

from ..errors import DataError


@TRANSFORMS.register_module()
class LoadRegions(BaseTransform):
    """Find the regions of a picture, their groups and their fine labels; check the mask on the way.

    Belongs right after ``LoadAnnotations``, before anything that moves pixels. With ``region_map_path`` the regions
    are those of the file, whose ids may be any positive integers; without, the connected components of each group's
    classes. Either way they get the ids 1, 2, ... (never 255, mmseg's padding). A region is made of pixels of one
    group, the one that most of its pixels belong to; pixels that the mask calls anything else are taken from it.

    A picture without ``seg_map_path``, for prediction only, passes as it is.

    Required keys: ``gt_seg_map`` (H, W), ``seg_map_path``, ``seg_fields``, ``ori_shape``, ``taxonomy``; optional
    ``region_map_path`` and ``region_names`` (fine class of all regions, or region id -> fine class, or None).

    Added keys:

    - ``gt_region_map`` (H, W) int32, a region's id at its pixels, 0 elsewhere; listed in ``seg_fields``, so that
      mmseg's transforms move it with the mask;
    - ``regions``: ``dict(ids, labels, fine_labels)``, each (R,) int64: id, ascending; group; fine class or -1, not
      annotated.

    Args:
        min_area: Regions of fewer pixels are left out, though their pixels remain in the mask.
        connectivity: 4 or 8 neighbours, where connected components are taken.
        backend_args: Of mmengine's file backends.

    Raises:
        DataError: If mask, region map or fine labels contradict the picture, the taxonomy or each other.
    """

    def __init__(self, min_area: int = 1, connectivity: int = 8, backend_args: Optional[dict] = None) -> None:
        if min_area < 1 or connectivity not in (4, 8):
            raise ValueError(
                f'LoadRegions: min_area is 1 or more and connectivity 4 or 8, got {min_area} and {connectivity}'
            )
        self.min_area = min_area
        self.connectivity = connectivity
        self.backend_args = backend_args
        self._warned = False

    def transform(self, results: dict) -> dict:
        """Add ``gt_region_map`` and ``regions``."""
        if 'seg_map_path' not in results:
            return results
        if 'gt_seg_map' not in results:
            raise ValueError('LoadRegions found no gt_seg_map; put LoadAnnotations before it in the pipeline')
        taxonomy: Taxonomy = results['taxonomy']
        mask = results['gt_seg_map']
        self._check_mask(mask, results, taxonomy)
        if 'region_map_path' in results:
            region_map, ids, labels, source_ids = self._from_file(mask, results, taxonomy)
        else:
            table = connected_regions(mask, taxonomy.group_of_class, self.connectivity, self.min_area)
            region_map, ids, labels, source_ids = table.region_map, table.ids, table.labels, table.ids
        fine_labels = _fine_labels(results, taxonomy, labels, source_ids)
        results['gt_region_map'] = region_map
        results['regions'] = dict(ids=ids, labels=labels, fine_labels=fine_labels)
        results['seg_fields'].append('gt_region_map')
        return results

    def _check_mask(self, mask: np.ndarray, results: dict, taxonomy: Taxonomy) -> None:
        path = results['seg_map_path']
        _check_shape(path, 'mask', mask, results, 'a segmentation class')
        count, ignore = len(taxonomy.classes), taxonomy.ignore_index
        outside = (mask >= count) & (mask != ignore)
        if outside.any():
            values, numbers = np.unique(mask[outside], return_counts=True)
            message = (
                f'{path}: {numbers.sum()} pixels have the labels {_some(values)}, outside 0..{count - 1} (the '
                f'{count} classes of the taxonomy) and not {ignore} (ignored); write the index of a class at '
                'each pixel'
            )
            if values.tolist() == [255]:
                message += ', for a mask of two classes 0 and 1, not 0 and 255'
            raise DataError(message)
        # Such a mask may be right, if the second class does not occur and some pixels are ignored: no error, then.
        if not self._warned and count == 2 and ignore == 255 and not (mask == 1).any() and (mask == 255).any():
            self._warned = True
            warnings.warn(
                f'{path}: has no pixel of class {taxonomy.classes[1]!r} but some of 255, which are ignored; if 255 is '
                'to mean that class, write 1 instead (said of the first such mask only)',
                stacklevel=2,
            )

    def _from_file(
        self, mask: np.ndarray, results: dict, taxonomy: Taxonomy
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Region map, ids and groups with compact ids, and the same regions' ids in the file."""
        path = results['region_map_path']
        content = fileio.get(path, backend_args=self.backend_args)
        # Pillow reads palette files as indices, and 16 bits as they are.
        raw = mmcv.imfrombytes(content, flag='unchanged', backend='pillow').astype(np.int64)
        _check_shape(path, 'region map', raw, results, 'a region id')
        present = np.flatnonzero(np.bincount(raw.ravel())[1:]) + 1
        names = results.get('region_names')
        absent = sorted(set(names) - set(present.tolist())) if isinstance(names, dict) else []
        if absent:
            raise DataError(
                f'{path}: the table of fine labels names the regions {absent}, which have no pixel here; '
                f'the map has {_some(present)}; mend the table or the map'
            )

        # Count the pixels of each region in each group; column 0 is stuff, column 1 what is ignored.
        columns = np.zeros(256, np.int64)
        columns[: len(taxonomy.classes)] = np.where(
            np.asarray(taxonomy.group_of_class) < 0, 0, np.asarray(taxonomy.group_of_class) + 2
        )
        if 0 <= taxonomy.ignore_index < 256:
            columns[taxonomy.ignore_index] = 1
        position = np.zeros(raw.max(initial=0) + 1, np.int64)
        position[present] = np.arange(1, len(present) + 1)
        compact, group_of_pixel = position[raw], columns[mask]
        width = len(taxonomy.groups) + 2
        votes = np.bincount((compact * width + group_of_pixel).ravel(), minlength=(len(present) + 1) * width)
        votes = votes.reshape(len(present) + 1, width)[1:]

        areas = votes[:, 2:].max(axis=1, initial=0)
        groups = votes[:, 2:].argmax(axis=1) if len(taxonomy.groups) else np.zeros(len(present), np.int64)
        stray = present[(areas == 0) & (votes[:, 0] > 0)]
        if len(stray):
            raise DataError(
                f'{path}: the regions {_some(stray)} cover no pixel of any group, the mask '
                f'{results["seg_map_path"]} has only {list(taxonomy.stuff_classes)} there; mend the map or '
                'the mask'
            )
        kept = areas >= self.min_area
        ids = number_regions(int(kept.sum()))
        new_id, own_group = np.zeros(len(present) + 1, np.int32), np.full(len(present) + 1, -1)
        new_id[1:][kept], own_group[1:] = ids, groups + 2
        region_map = np.where(own_group[compact] == group_of_pixel, new_id[compact], 0).astype(np.int32)
        return region_map, ids, groups[kept].astype(np.int64), present[kept]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(min_area={self.min_area}, connectivity={self.connectivity})'


def _fine_labels(results: dict, taxonomy: Taxonomy, labels: np.ndarray, source_ids: np.ndarray) -> np.ndarray:
    names = results.get('region_names')
    fine_labels = np.full(len(labels), -1, np.int64)
    if isinstance(names, str):
        fine = taxonomy.fine_index(names)
        fine_labels[labels == taxonomy.group_of_fine[fine]] = fine
    elif names is not None:
        for row, (source_id, label) in enumerate(zip(source_ids.tolist(), labels.tolist(), strict=True)):
            if source_id in names:
                try:
                    fine_labels[row] = taxonomy.fine_index(names[source_id], group=label)
                except TaxonomyError as error:
                    raise DataError(
                        f'{results["region_map_path"]}: region {source_id} belongs to group '
                        f'{taxonomy.groups[label].name!r} by the mask {results["seg_map_path"]}, but '
                        f'{error}; mend the table of fine labels, the mask or the map'
                    ) from error
    return fine_labels


def _check_shape(path: str, what: str, array: np.ndarray, results: dict, content: str) -> None:
    if array.ndim != 2:
        raise DataError(
            f'{path}: the {what} has shape {array.shape}, a colour picture; save it with one channel, '
            f'{content} a pixel (8-bit grey or palette PNG; region maps may have 16 bits)'
        )
    height, width = results['ori_shape'][:2]
    if array.shape != (height, width):
        turned = (
            ' (a photograph is turned by its EXIF orientation when read; a mask is not)'
            if array.shape == (width, height)
            else ''
        )
        raise DataError(
            f'{path}: the {what} is {array.shape[1]}x{array.shape[0]} pixels, its picture '
            f'{results.get("img_path")} {width}x{height}{turned}; make them equal. (If the pipeline '
            'resizes between LoadAnnotations and LoadRegions, let LoadRegions come first.)'
        )


def _some(ids: np.ndarray) -> str:
    return str(ids[:10].tolist()) + (f' and {len(ids) - 10} more' if len(ids) > 10 else '')
