"""Masks of fine classes: segmentation classes, regions and fine labels from one file."""

import unicodedata
from typing import Mapping, Optional, Sequence, Union

import numpy as np

from deepunetto_mm.ops import connected_regions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform

from .region_files import put_annotations, read_labels, read_regions, require_shape, sample_taxonomy, some


@TRANSFORMS.register_module()
class LoadComposedAnnotations(Transform):
    """Load a mask whose labels are specific: car and bus, not vehicle. Replaces LoadAnnotations and LoadRegions.

    Most public datasets of scenes have such masks. Each label determines the composed class, the segmentation class
    (of a fine class: its group's member of the same name, or the group's only member), and the fine label. The
    regions are those of ``region_map_path``, such as Cityscapes' instances, or else the connected components of each
    fine class.

    A picture without ``seg_map_path``, for prediction only, is returned unchanged.

    Required keys: ``seg_map_path``, ``seg_fields``, ``ori_shape``, ``taxonomy``; optional ``region_map_path``.

    Added keys, the maps listed in ``seg_fields``:

    - ``gt_seg_map`` (H, W), segmentation classes, or the taxonomy's ignore index;
    - ``gt_fine_map`` (H, W), composed classes, or their ignore index; both uint8, or wider where labels need it;
    - ``gt_region_map`` and ``regions``, as :class:`LoadRegions` writes them.

    Args:
        labels: Composed class of each mask value: a list of names by value, or a dict value -> name.
        ignored: Further mask values that are ignored; the taxonomy's ignore index always is.
        min_region_id: Lower values of the region map are not single objects: 1000 for Cityscapes, where 26 is a group
            of cars and 26003 a car. Their pixels have a class, and belong to no region.
        min_area: Regions with fewer pixels are left out, but their pixels remain in both maps.
        connectivity: 4 or 8 neighbours, for connected components.
        backend_args: Options of mmengine's file backends.

    Raises:
        TaxonomyError: If a name is not a composed class, or a fine class does not determine the member of its group.
        DataError: If a mask has other values or another size than its picture.
    """

    def __init__(
        self,
        labels: Union[Sequence[str], Mapping[int, str]],
        ignored: Sequence[int] = (),
        min_region_id: int = 1,
        min_area: int = 1,
        connectivity: int = 8,
        backend_args: Optional[dict] = None,
    ) -> None:
        pairs = labels.items() if isinstance(labels, Mapping) else enumerate(labels)
        self.labels = {value: unicodedata.normalize('NFC', name) for value, name in pairs}
        self.ignored = tuple(ignored)
        wrong = [
            value for value in (*self.labels, *self.ignored) if not isinstance(value, int) or not 0 <= value < 2**16
        ]
        if wrong:
            raise ValueError(f'LoadComposedAnnotations: mask values must be integers in 0..65535, got {wrong}')
        both = sorted(set(self.labels) & set(self.ignored))
        if both:
            raise ValueError(
                f'LoadComposedAnnotations: the mask values {both} are in both labels and ignored; remove one'
            )
        if min_region_id < 1 or min_area < 1 or connectivity not in (4, 8):
            raise ValueError(
                'LoadComposedAnnotations: min_region_id and min_area must be at least 1 and connectivity 4 or 8, got '
                f'{min_region_id}, {min_area} and {connectivity}'
            )
        self.min_region_id = min_region_id
        self.min_area = min_area
        self.connectivity = connectivity
        self.backend_args = backend_args
        self._table: Optional[tuple[Taxonomy, np.ndarray]] = None

    def transform(self, results: dict) -> dict:
        """Add the maps and the regions."""
        if 'seg_map_path' not in results:
            return results
        taxonomy = sample_taxonomy(results, 'LoadComposedAnnotations')
        if results.get('reduce_zero_label'):
            raise DataError('LoadComposedAnnotations: set reduce_zero_label=False and list value 0 in ignored')
        label_of_value = self._look_up(taxonomy)
        path = results['seg_map_path']
        raw = read_labels(path, self.backend_args)
        require_shape(path, 'mask', raw, results, 'a class')
        beyond = (raw < 0) | (raw >= len(label_of_value))
        labels = np.where(beyond, -1, label_of_value[np.where(beyond, 0, raw)])
        unknown = labels < 0
        if unknown.any():
            values, numbers = np.unique(raw[unknown], return_counts=True)
            raise DataError(
                f'{path}: {numbers.sum()} pixels have the values {some(values)}, which have no class; add them to '
                'labels or ignored of LoadComposedAnnotations, or fix the mask',
                'unknown labels',
                dict(zip(values.tolist(), numbers.tolist())),
            )
        fine_of_composed = [-1] * len(taxonomy.stuff_classes) + list(range(len(taxonomy.fine_classes)))
        table = None
        if 'region_map_path' in results:
            region_map, ids, fine_labels, _ = read_regions(
                labels, fine_of_composed, results, self.min_area, self.backend_args, self.min_region_id
            )
        else:
            table = connected_regions(labels, fine_of_composed, self.connectivity, self.min_area)
            region_map, ids, fine_labels = table.region_map, table.ids, table.labels
        composed = np.where(labels == len(taxonomy.composed_classes), taxonomy.composed_ignore_index, labels)
        put_annotations(results, composed, region_map, ids, fine_labels, table)
        return results

    def _look_up(self, taxonomy: Taxonomy) -> np.ndarray:
        """Composed label of each mask value; the number of composed classes if it is ignored, -1 if it is unknown."""
        if self._table is None or self._table[0] != taxonomy:
            names = taxonomy.composed_classes
            for value, name in self.labels.items():
                if name not in names:
                    raise TaxonomyError(
                        f'labels of LoadComposedAnnotations: {name!r} (value {value}) is not a composed class of the '
                        f'taxonomy; it has {list(names)}'
                    )
                if taxonomy.class_of_composed[names.index(name)] < 0:
                    raise TaxonomyError(
                        f'labels of LoadComposedAnnotations: {name!r} does not determine the member of its group for a '
                        'pixel; use masks of segmentation classes with LoadAnnotations and LoadRegions'
                    )
            label_of_value = np.full(2**16, -1, np.int64)
            own = [label for label in (taxonomy.ignore_index, taxonomy.composed_ignore_index) if 0 <= label < 2**16]
            label_of_value[[*own, *self.ignored]] = len(names)
            for value, name in self.labels.items():
                label_of_value[value] = names.index(name)
            self._table = taxonomy, label_of_value
        return self._table[1]
