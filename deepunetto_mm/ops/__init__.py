"""Pure functions on arrays and tensors."""
from .boxes import boxes_to_rois, expand_boxes, jitter_boxes
from .luminance import LUMA_WEIGHTS, luminance
from .matching import match_regions
from .region_mask_align import region_mask_align
from .regions import PADDING_ID, RegionTable, connected_regions, number_regions, tabulate_regions

__all__ = [
    'LUMA_WEIGHTS', 'PADDING_ID', 'RegionTable', 'boxes_to_rois', 'connected_regions', 'expand_boxes', 'jitter_boxes',
    'luminance', 'match_regions', 'number_regions', 'region_mask_align', 'tabulate_regions'
]
