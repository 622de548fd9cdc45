"""Regions of a training or test picture, from its mask or from a region map."""

import warnings
from typing import Optional

import numpy as np

from deepunetto_mm.ops import connected_regions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform

from .region_files import put_regions, read_regions, require_shape, sample_taxonomy, some

_MANY_LABELS = 8


@TRANSFORMS.register_module()
class LoadRegions(Transform):
    """Find the regions of a picture, their groups and their fine labels; also checks the mask.

    Use it directly after ``LoadAnnotations``, before all transforms that move pixels. With ``region_map_path`` the
    regions are those of the file, whose ids may be any positive integers; without, the connected components of each
    group's classes. In both cases they get the ids 1, 2, ... (never 255, mmseg's padding). A region consists of pixels
    of one group, the one that most of its pixels belong to; pixels of other classes are removed from it.

    A picture without ``seg_map_path`` and mask, for prediction only, is returned unchanged. If the pipeline made the
    mask (``LoadThresholdAnnotations``), ``seg_map_path`` is not needed.

    Required keys: ``gt_seg_map`` (H, W), ``seg_fields``, ``ori_shape``, ``taxonomy``; optional ``seg_map_path``,
    ``region_map_path`` and ``region_names`` (fine class of all regions, or region id -> fine class, or None).

    Added keys:

    - ``gt_region_map`` (H, W) int32, a region's id at its pixels, 0 elsewhere; listed in ``seg_fields``, so that
      mmseg's transforms move it with the mask;
    - ``regions``: ``dict(ids, labels, fine_labels)``, each (R,) int64: id, ascending; group; fine class or -1, not
      annotated.

    Args:
        min_area: Regions with fewer pixels are left out, but their pixels remain in the mask.
        connectivity: 4 or 8 neighbours, for connected components.
        backend_args: Options of mmengine's file backends.

    Raises:
        DataError: If mask, region map or fine labels contradict the picture, the taxonomy or each other.
        TaxonomyError: If the dataset has no taxonomy, like mmseg's own.
    """

    def __init__(self, min_area: int = 1, connectivity: int = 8, backend_args: Optional[dict] = None) -> None:
        if min_area < 1 or connectivity not in (4, 8):
            raise ValueError(
                f'LoadRegions: min_area must be at least 1 and connectivity 4 or 8, got {min_area} and {connectivity}'
            )
        self.min_area = min_area
        self.connectivity = connectivity
        self.backend_args = backend_args
        self._warned = False

    def transform(self, results: dict) -> dict:
        """Add ``gt_region_map`` and ``regions``."""
        if 'gt_seg_map' not in results:
            if 'seg_map_path' not in results:
                return results
            raise ValueError('LoadRegions found no gt_seg_map; put LoadAnnotations before it in the pipeline')
        taxonomy = sample_taxonomy(results, 'LoadRegions')
        mask = results['gt_seg_map']
        size = tuple(results['ori_shape'][:2])
        if 1 in size and mask.ndim < 2 and mask.size == size[0] * size[1]:
            mask = results['gt_seg_map'] = mask.reshape(size)  # for a single line, LoadAnnotations drops a dimension
        self._check_mask(mask, results, taxonomy)
        table = None
        if 'region_map_path' in results:
            region_map, ids, labels, source_ids = read_regions(
                mask, taxonomy.group_of_class, results, self.min_area, self.backend_args
            )
        else:
            table = connected_regions(mask, taxonomy.group_of_class, self.connectivity, self.min_area)
            region_map, ids, labels, source_ids = table.region_map, table.ids, table.labels, table.ids
        put_regions(results, region_map, ids, labels, _fine_labels(results, taxonomy, labels, source_ids), table)
        return results

    def _check_mask(self, mask: np.ndarray, results: dict, taxonomy: Taxonomy) -> None:
        path = results.get('seg_map_path') or f'mask made of {results.get("img_path")}'
        require_shape(path, 'mask', mask, results, 'a segmentation class')
        count, ignore = len(taxonomy.classes), taxonomy.ignore_index
        outside = (mask >= count) & (mask != ignore)
        if outside.any():
            values, numbers = np.unique(mask[outside], return_counts=True)
            message = (
                f'{path}: {numbers.sum()} pixels have the labels {some(values)}, outside 0..{count - 1} (the '
                f'{count} classes of the taxonomy) and not {ignore} (ignored); write the index of a class at '
                'each pixel'
            )
            if values.tolist() == [255]:
                message += ', for a mask of two classes 0 and 1, not 0 and 255'
            elif len(values) >= _MANY_LABELS:
                message += '. Interpolation and JPEG leave many labels of no class: resize masks by nearest neighbour'
            elif values.tolist() == [count] and mask.min() == 1:
                message += '. If the masks count classes from 1, as those of ilastik do, set reduce_zero_label=True'
            raise DataError(message, 'unknown labels', dict(zip(values.tolist(), numbers.tolist())))
        # Such a mask may be correct, if the second class does not occur and some pixels are ignored: not an error.
        # A mask that the pipeline made has 255 on purpose.
        suspicious = count == 2 and ignore == 255 and 'seg_map_path' in results
        if suspicious and not self._warned and not (mask == 1).any() and (mask == 255).any():
            self._warned = True
            warnings.warn(
                f'{path}: has no pixel of class {taxonomy.classes[1]!r} but some of 255, which are ignored; if 255 '
                'means that class, write 1 instead (only the first such mask is reported)',
                stacklevel=2,
            )


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
                        f'{error}; fix the table of fine labels, the mask or the map',
                        'fine label',
                    ) from error
    return fine_labels
