"""Pure functions on arrays and tensors."""

from .border_weights import border_weights, class_balance
from .boxes import boxes_to_rois, centred_boxes, expand_boxes, jitter_boxes
from .centre_crop import centre_crop
from .coco_masks import Segmentation, check_segmentation, encode_masks, run_length_code
from .empty_batch import run_on_crops
from .luminance import LUMA_WEIGHTS, SIGNALS, luminance
from .overlaps import Matches, Overlaps, count_overlaps, encode_regions, match_regions, sum_by
from .region_mask_align import region_mask_align
from .region_means import region_means
from .regions import PADDING_ID, RegionTable, connected_regions, number_regions, tabulate_regions
from .strips import STRIP_PIXELS, row_strips
from .threshold_masks import (
    POLARITIES,
    THRESHOLD_CHANNELS,
    THRESHOLD_METHODS,
    ThresholdMask,
    ThresholdOptions,
    best_channel,
    border_contact,
    clean_mask,
    find_threshold,
    grey_channel,
    plausibility,
    separability,
    threshold_mask,
)
from .tiles import BLENDINGS, TileSpan, mirrored_indices, mirrored_window, tile_spans
from .unet2015_sizes import (
    unet2015_input_size,
    unet2015_is_valid_size,
    unet2015_margin,
    unet2015_nearest_sizes,
    unet2015_output_shape,
)

__all__ = [
    'BLENDINGS',
    'LUMA_WEIGHTS',
    'Matches',
    'Overlaps',
    'PADDING_ID',
    'POLARITIES',
    'RegionTable',
    'SIGNALS',
    'STRIP_PIXELS',
    'Segmentation',
    'THRESHOLD_CHANNELS',
    'THRESHOLD_METHODS',
    'ThresholdMask',
    'ThresholdOptions',
    'best_channel',
    'border_contact',
    'border_weights',
    'TileSpan',
    'boxes_to_rois',
    'centre_crop',
    'centred_boxes',
    'check_segmentation',
    'class_balance',
    'clean_mask',
    'connected_regions',
    'count_overlaps',
    'encode_masks',
    'encode_regions',
    'expand_boxes',
    'find_threshold',
    'grey_channel',
    'jitter_boxes',
    'luminance',
    'match_regions',
    'mirrored_indices',
    'mirrored_window',
    'number_regions',
    'plausibility',
    'region_mask_align',
    'region_means',
    'row_strips',
    'run_length_code',
    'run_on_crops',
    'separability',
    'sum_by',
    'tabulate_regions',
    'tile_spans',
    'threshold_mask',
    'unet2015_input_size',
    'unet2015_is_valid_size',
    'unet2015_margin',
    'unet2015_nearest_sizes',
    'unet2015_output_shape',
]
