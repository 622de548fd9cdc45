"""The last transform of a pipeline: picture, mask and regions into a data sample."""

from typing import Optional, Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.datasets.transforms import PackSegInputs

from deepunetto_mm.ops import PADDING_ID, tabulate_regions
from deepunetto_mm.registry import TRANSFORMS

from .region_files import sample_taxonomy

_ENOUGH_PIXELS = 32


@TRANSFORMS.register_module()
class PackRegionInputs(PackSegInputs):
    """mmseg's ``PackSegInputs``, with the regions that remain after augmentation.

    Boxes are computed here from the region map, so they are correct after all transforms. If no transform changed mask
    and region map, they are those of the loader. Added to the data sample, in the frame of ``gt_sem_seg``:

    - ``gt_region_map``: PixelData (1, H, W) int64, a region's id at its pixels, 0 for none, 255 outside the picture;
    - ``gt_regions``: InstanceData of the R regions in the map, by ascending id: ``ids`` (R,) int64, ``labels`` (R,)
      int64 group, ``fine_labels`` (R,) int64 fine class or -1, ``bboxes`` (R, 4) float32 xyxy in pixels, half open;
    - ``gt_fine_seg``, if there is a ``gt_fine_map``: PixelData (1, H, W) int64, composed classes;
    - ``gt_weight_map`` (``AddBorderWeights``): PixelData (1, H, W) float32, weights of the pixels; ``gt_centre_map``
      (``AddCentreTargets``): PixelData (3, H, W) float32, heat and vectors; and any other map (H, W) or (C, H, W) that
      a transform computed of mask and regions and named in the results: ``target_maps``, its own name by that of the
      map;
    - ``gt_label``, if the whole picture has a fine label: (1,) int64, as mmpretrain's ``PackInputs`` packs it.

    Its meta information has ``img_id``, if the dataset numbers its pictures (``CocoFineDataset``).

    Args:
        min_area: Regions with fewer visible pixels are left out of table and map.
        meta_keys: Keys of the results for the sample's meta information; None for those of ``PackSegInputs``.

    Raises:
        ValueError: If there is a mask but no region map, or a transform changed only one of them, or resized the
            mask after weights or targets were computed.
    """

    def __init__(self, min_area: int = 1, meta_keys: Optional[Sequence[str]] = None) -> None:
        if meta_keys is None:
            super().__init__()
        else:
            super().__init__(meta_keys=meta_keys)
        if min_area < 1:
            raise ValueError(f'PackRegionInputs: min_area must be at least 1, got {min_area}')
        self.min_area = min_area

    def transform(self, results: dict) -> dict:
        """Pack the results into ``inputs`` and ``data_samples``."""
        packed = super().transform(results)
        sample = packed['data_samples']
        if 'img_id' in results:
            sample.set_metainfo(dict(img_id=results['img_id']))
        if 'gt_label' in results:
            sample.set_data(dict(gt_label=torch.tensor([results['gt_label']])))
        if 'gt_region_map' in results:
            region_map, sample.gt_regions = self._regions_in_sight(results)
            sample.gt_region_map = PixelData(data=torch.from_numpy(region_map[None]))
            if 'gt_fine_map' in results:
                fine_map = results['gt_fine_map'][None].astype(np.int64)
                taxonomy = sample_taxonomy(results, 'PackRegionInputs')
                # Transforms fill maps with the label that is ignored in masks, which may be a name here.
                fine_map[results['gt_seg_map'][None] == taxonomy.ignore_index] = taxonomy.composed_ignore_index
                sample.set_data(dict(gt_fine_seg=PixelData(data=torch.from_numpy(fine_map))))
            for field, maker in results.get('target_maps', {}).items():
                sample.set_data({field: _packed(results[field], region_map.shape, field, maker)})
        elif 'gt_seg_map' in results:
            raise ValueError(
                'PackRegionInputs found a mask and no region map; put deepunetto_mm.LoadRegions after '
                'LoadAnnotations in the pipeline'
            )
        return packed

    def _regions_in_sight(self, results: dict) -> tuple[np.ndarray, InstanceData]:
        region_map, known = results['gt_region_map'].astype(np.int64), results['regions']
        table, loaded = None, results.get('loaded_regions')
        if loaded is not None and loaded.are_those_of(results):
            table = loaded.table
        else:
            _realign(region_map, results)
        ids, bboxes, areas = tabulate_regions(region_map) if table is None else (table.ids, table.bboxes, table.areas)
        kept = areas >= self.min_area
        if not kept.all():
            region_map[np.isin(region_map, ids[~kept])] = 0
        rows = np.searchsorted(known['ids'], ids[kept])
        regions = InstanceData(
            ids=torch.from_numpy(ids[kept]),
            labels=torch.from_numpy(known['labels'][rows]),
            fine_labels=torch.from_numpy(known['fine_labels'][rows]),
            bboxes=torch.from_numpy(bboxes[kept]),
        )
        return region_map, regions

    def __repr__(self) -> str:
        return f'{type(self).__name__}(min_area={self.min_area}, meta_keys={self.meta_keys})'


def _packed(values: np.ndarray, shape: tuple[int, ...], field: str, maker: str) -> PixelData:
    values = values.reshape(-1, *values.shape[-2:]).astype(np.float32)
    if values.shape[1:] != shape:
        raise ValueError(
            f'{field} is {values.shape[1:]} and the mask {shape}; put {maker} after all transforms that move pixels'
        )
    return PixelData(data=torch.from_numpy(values))


def _realign(region_map: np.ndarray, results: dict) -> None:
    """Take from the regions of a map (H, W) int64, in place, the pixels whose class is not of the region's group.

    OpenCV's nearest-neighbour rotation rounds differently for 8-bit and for 32-bit maps, at about one boundary pixel in
    a thousand: a few pixels of a region would lie on stuff.
    """
    mask, known = results['gt_seg_map'], results['regions']
    if region_map.shape != mask.shape:
        raise ValueError(f'{_CAUSE}: their shapes are {mask.shape} and {region_map.shape}')
    taxonomy = sample_taxonomy(results, 'PackRegionInputs')
    group_of_id = np.full(max(PADDING_ID, region_map.max(initial=0), known['ids'].max(initial=0)) + 1, -2, np.int32)
    group_of_id[known['ids']] = known['labels']
    group_of_id[[0, PADDING_ID]] = -1
    expected = group_of_id[region_map]
    strangers = np.unique(region_map[expected == -2])
    if len(strangers):
        raise ValueError(
            f'the region map has the ids {strangers[:10].tolist()}, which are not from LoadRegions: a '
            'transform interpolated the map or filled it with a number; fill seg_fields with 0 or 255'
        )
    labels = mask.astype(np.int64)
    labels[(labels < 0) | (labels >= len(taxonomy.classes))] = -1  # ignored, the last of the groups below
    inside = expected >= 0
    astray = inside & (np.array([*taxonomy.group_of_class, -1])[labels] != expected)
    count, wrong = np.count_nonzero(inside), np.count_nonzero(astray)
    if count >= _ENOUGH_PIXELS and wrong > count / 2:
        raise ValueError(f'{_CAUSE}: {wrong} of {count} pixels of regions lie on classes of another group')
    region_map[astray] = 0


_CAUSE = (
    'mask and region map do not match. Some transform changed only one of them (Albu and RandomMosaic do); use '
    "transforms that move all of seg_fields, under default_scope='mmseg'"
)
