"""What a network learns that separates objects by their centres."""

import numpy as np

from deepunetto_mm.ops import tabulate_regions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform

from .region_files import sample_taxonomy

_REACH = 3.0  # sigmas, beyond which a Gaussian is 0


@TRANSFORMS.register_module()
class AddCentreTargets(Transform):
    """Paint what a ``CentreOffsetHead`` learns: the centres of regions, and from each pixel the vector to its centre.

    The centre is the mean position of a region's visible pixels (Cheng et al., *Panoptic-DeepLab*, CVPR 2020), which
    need not be one of them, as in a ring. A Gaussian of height 1 stands on it; where several overlap, the greatest
    counts.

    Panoptic-DeepLab's Gaussians have a sigma of 8 pixels, whatever the object. Small objects that touch would melt into
    one peak. Here sigma is ``sigma_ratio`` times the radius of a disk of the region's area, within ``sigma_range``: at
    the default of 0.4, the peaks of two equal disks that touch are 5 sigma apart.

    Use it after all transforms that move pixels, directly before ``PackRegionInputs``. A picture without a mask, for
    prediction only, is returned unchanged.

    Required keys: ``gt_seg_map`` (H, W), ``gt_region_map`` (H, W), ``taxonomy``. Added keys: ``gt_centre_map``
    (3, H, W) float32, named in ``target_maps``: the heat, and the vectors (x, y) in pixels. What trains nothing is NaN:
    heat where pixels are ignored, or are of a group's class but of no region (a group of cars, an object that is too
    small); vectors outside of regions.

    Args:
        sigma_ratio: Sigma of a Gaussian in radii of its region.
        sigma_range: Least and greatest sigma, in pixels; at least 0.5.
        min_area: As of ``PackRegionInputs``: regions with fewer visible pixels are not objects.

    Raises:
        ValueError: If an option is out of range, or there is a mask but no region map.
    """

    def __init__(
        self, sigma_ratio: float = 0.4, sigma_range: tuple[float, float] = (1.5, 8.0), min_area: int = 1
    ) -> None:
        if sigma_ratio < 0 or not 0.5 <= sigma_range[0] <= sigma_range[1]:
            raise ValueError(
                'AddCentreTargets: sigma_ratio must be at least 0, and sigma_range two numbers of at least 0.5, the '
                f'smaller first; got {sigma_ratio} and {sigma_range}'
            )
        self.sigma_ratio = sigma_ratio
        self.sigma_range = sigma_range
        self.min_area = min_area

    def transform(self, results: dict) -> dict:
        """Add ``gt_centre_map``."""
        if 'gt_seg_map' not in results:
            return results
        if 'gt_region_map' not in results:
            raise ValueError(
                'AddCentreTargets found a mask and no region map; put deepunetto_mm.LoadRegions after LoadAnnotations '
                'in the pipeline'
            )
        mask, region_map = results['gt_seg_map'], results['gt_region_map']
        ids, bboxes, areas = tabulate_regions(region_map)
        kept = areas >= self.min_area
        targets = np.full((3, *region_map.shape), np.nan, np.float32)
        targets[0] = 0
        sigmas = np.clip(self.sigma_ratio * np.sqrt(areas / np.pi), *self.sigma_range)
        of_region = zip(ids[kept].tolist(), bboxes[kept].astype(int).tolist(), sigmas[kept].tolist())
        for number, (x1, y1, x2, y2), sigma in of_region:
            rows, columns = np.nonzero(region_map[y1:y2, x1:x2] == number)
            rows, columns = rows + y1, columns + x1
            x, y = columns.mean(), rows.mean()
            targets[1, rows, columns], targets[2, rows, columns] = x - columns, y - rows
            _add_peak(targets[0], x, y, sigma)
        taxonomy = sample_taxonomy(results, 'AddCentreTargets')
        things = [label for label, group in enumerate(taxonomy.group_of_class) if group >= 0]
        nameless = np.isin(mask, things) & np.isnan(targets[1])
        targets[0, nameless | (mask == taxonomy.ignore_index)] = np.nan
        results['gt_centre_map'] = targets
        results.setdefault('target_maps', {})['gt_centre_map'] = 'deepunetto_mm.AddCentreTargets'
        return results


def _add_peak(heat: np.ndarray, x: float, y: float, sigma: float) -> None:
    """Raise a map (H, W), in place, to a Gaussian of height 1 around a point of the picture."""
    spans = [
        np.arange(max(int(np.ceil(at - _REACH * sigma)), 0), min(int(at + _REACH * sigma) + 1, size))
        for at, size in zip((y, x), heat.shape)
    ]
    down, right = (np.exp(-((span - at) ** 2) / (2 * sigma**2)) for span, at in zip(spans, (y, x)))
    window = heat[spans[0][0] : spans[0][-1] + 1, spans[1][0] : spans[1][-1] + 1]
    np.maximum(window, np.outer(down, right), out=window, casting='same_kind')
