"""Pure functions on arrays and tensors."""

from deepunetto_mm.utils.region_maps import (
    PADDING_ID,
    STRIP_PIXELS,
    RegionTable,
    connected_regions,
    encode_masks,
    number_components,
    number_regions,
    row_strips,
    tabulate_regions,
    touching_regions,
    without_padding,
)

from .boxes import boxes_to_rois, centred_boxes, expand_boxes, jitter_boxes
from .coco_masks import Segmentation, check_segmentation, mask_runs, restore_numbers, run_length_code
from .components import connected_regions_on_device, number_components_on_device
from .empty_batch import run_on_crops
from .feature_maps import pick_maps
from .luminance import LUMA_WEIGHTS, SIGNALS, luminance
from .nearest import nearest_points
from .overlaps import Matches, Overlaps, count_overlaps, encode_regions, match_regions, sum_by
from .region_mask_align import region_mask_align
from .regions import region_means, share_of_mean, table_by_id
from .tiles import BLENDINGS, TileSpan, centre_crop, mirrored_indices, mirrored_window, tile_spans

__all__ = [
    'BLENDINGS',
    'LUMA_WEIGHTS',
    'Matches',
    'Overlaps',
    'PADDING_ID',
    'RegionTable',
    'SIGNALS',
    'STRIP_PIXELS',
    'Segmentation',
    'TileSpan',
    'boxes_to_rois',
    'centre_crop',
    'centred_boxes',
    'check_segmentation',
    'connected_regions',
    'connected_regions_on_device',
    'count_overlaps',
    'encode_masks',
    'encode_regions',
    'expand_boxes',
    'jitter_boxes',
    'luminance',
    'mask_runs',
    'match_regions',
    'mirrored_indices',
    'mirrored_window',
    'nearest_points',
    'number_components',
    'number_components_on_device',
    'number_regions',
    'pick_maps',
    'region_mask_align',
    'region_means',
    'restore_numbers',
    'row_strips',
    'run_length_code',
    'run_on_crops',
    'share_of_mean',
    'sum_by',
    'table_by_id',
    'tabulate_regions',
    'tile_spans',
    'touching_regions',
    'without_padding',
]
