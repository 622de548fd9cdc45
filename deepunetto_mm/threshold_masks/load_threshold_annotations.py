"""Masks from brightness for pictures with a fine class but no mask, made when the picture is read."""

from typing import Any, Optional

import numpy as np

from deepunetto_mm.datasets.transforms.region_files import sample_taxonomy
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.threshold_masks.thresholding import ThresholdOptions, threshold_mask
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform


@TRANSFORMS.register_module()
class LoadThresholdAnnotations(Transform):
    """Make the mask of a picture by a threshold on a grey scale; replaces ``LoadAnnotations``.

    Object pixels get the generic class of the picture's fine class, the others that of the background. The fine class
    comes from the table of fine labels. It determines the generic class if its group has one member, or one of the same
    name. See :func:`~deepunetto_mm.threshold_masks.threshold_mask` and ``docs/threshold_masks.md``.

    Use it directly after ``LoadImageFromFile`` (or ``ChromaticAdaptation``), before ``LoadRegions`` and all transforms
    that change sizes or colours: the mask has the size of ``img``. The dataset needs ``mask_files=False``.

    Required keys: ``img`` (H, W, 3) uint8 BGR, ``ori_shape``, ``seg_fields``, ``taxonomy``, and ``region_names`` unless
    ``foreground`` is set. Added keys: ``gt_seg_map`` (H, W) uint8, listed in ``seg_fields``.

    Args:
        foreground: Segmentation class of every object; None uses the generic class of the picture's fine class.
        background: Segmentation class of the background; None uses the only class that is in no group.
        min_quality: A picture with a lower score is ignored at every pixel: it has no region and trains nothing.
        options: ``method``, ``channel`` and the others of :class:`~deepunetto_mm.threshold_masks.ThresholdOptions`,
            which refuses those that it does not know.

    Raises:
        ValueError: If an option is out of range, scikit-image is not installed, or the picture has been resized, is not
            of 8 bits, or has a mask file.
        TaxonomyError: If the taxonomy does not determine the class of the object or of the background.
        DataError: If a picture has no fine class, or several.
    """

    def __init__(
        self,
        foreground: Optional[str] = None,
        background: Optional[str] = None,
        min_quality: float = 0.0,
        **options: Any,
    ) -> None:
        if not 0 <= min_quality <= 1:
            raise ValueError(f'LoadThresholdAnnotations: min_quality must be from 0 to 1, got {min_quality}')
        self.options = ThresholdOptions(**options)
        self.foreground = foreground
        self.background = background
        self.min_quality = min_quality

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map``."""
        if 'sample_idx' not in results and 'taxonomy' not in results:
            return results  # of no dataset: mmseg's inference_model runs test pipelines on bare pictures
        image, path = results['img'], results.get('img_path')
        taxonomy = sample_taxonomy(results, 'LoadThresholdAnnotations')
        if 'seg_map_path' in results:
            raise ValueError(
                f'LoadThresholdAnnotations: {path} has the mask {results["seg_map_path"]}; load it with '
                'LoadAnnotations, or leave seg_map_path out of data_prefix and set mask_files=False'
            )
        if image.shape[:2] != tuple(results['ori_shape'][:2]):
            raise ValueError(
                f'LoadThresholdAnnotations: {path} is {image.shape[:2]} and was {tuple(results["ori_shape"][:2])}; '
                'move it before all transforms that resize or crop'
            )
        foreground, background = self._foreground(results, taxonomy), self._background(taxonomy)
        found = threshold_mask(np.ascontiguousarray(image[..., ::-1]), self.options)
        label_map = np.where(found.mask > 0, foreground, background).astype(np.uint8)
        if found.score < self.min_quality:
            label_map[:] = taxonomy.ignore_index
        results['gt_seg_map'] = label_map
        results['seg_fields'].append('gt_seg_map')
        return results

    def _foreground(self, results: dict, taxonomy: Taxonomy) -> int:
        if self.foreground is not None:
            return _class_index(taxonomy, 'foreground', self.foreground)
        name = results.get('region_names')
        if not isinstance(name, str):
            raise DataError(
                f'{results.get("img_path")}: the table of fine labels has '
                + ('no fine class' if name is None else 'single regions')
                + ', but the object\'s generic class follows from the picture\'s; write a row "image,fine_class", or '
                "set one class for all with foreground='...' of LoadThresholdAnnotations",
                'fine label',
            )
        fine = taxonomy.fine_index(name)
        label = taxonomy.class_of_fine[fine]
        if label < 0:
            members = list(taxonomy.groups[taxonomy.group_of_fine[fine]].members)
            raise TaxonomyError(
                f'LoadThresholdAnnotations: an object of the fine class {name!r} is made of {members}, which a '
                "threshold cannot distinguish; set foreground='...', or give the group one member"
            )
        return label

    def _background(self, taxonomy: Taxonomy) -> int:
        if self.background is not None:
            return _class_index(taxonomy, 'background', self.background)
        if len(taxonomy.stuff_classes) != 1:
            raise TaxonomyError(
                f'LoadThresholdAnnotations: the classes in no group are {list(taxonomy.stuff_classes)}, and one must '
                "be the background; set background='...'"
            )
        return taxonomy.classes.index(taxonomy.stuff_classes[0])


def _class_index(taxonomy: Taxonomy, option: str, name: str) -> int:
    if name not in taxonomy.classes:
        raise TaxonomyError(
            f'LoadThresholdAnnotations: {option}={name!r} is not a segmentation class; there are '
            f'{list(taxonomy.classes)}'
        )
    return taxonomy.classes.index(name)
