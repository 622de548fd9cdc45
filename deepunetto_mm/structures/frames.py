"""Regions of data samples, between the frame of the original picture and that of the network's input."""

from typing import Any, Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor


def replace_fields(region: InstanceData, **fields: Tensor) -> InstanceData:
    """A copy with some fields replaced or added; the original stays as it is."""
    return InstanceData(**{**dict(region.items()), **fields})


def padding_of(meta: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Pixels left, right, at the top and at the bottom by which a picture was padded, from its meta information.

    The keys are mmseg's: ``img_padding_size``, which the data preprocessor writes in a test, goes before
    ``padding_size``; both may be missing.
    """
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    return left, right, top, bottom


def pad_region_map(region_map: Tensor, size: Sequence[int], left: int = 0, top: int = 0) -> Tensor:
    """Pad (h, w) with 0 up to ``size``, height and width, as mmseg pads pictures and masks, but not region maps.

    Args:
        region_map: (h, w) integers.
        size: Height and width of the result.
        left, top: Pixels of the padding on these two sides; the rest is at the right and at the bottom.
    """
    height, width = region_map.shape
    return F.pad(region_map, (left, size[1] - width - left, top, size[0] - height - top))


def annotated_regions(sample: BaseDataElement) -> InstanceData:
    """The ``gt_regions`` of a data sample.

    Raises:
        ValueError: If it has none.
    """
    if 'gt_regions' not in sample:
        raise ValueError(
            f'{sample.get("img_path", "a picture")}: its annotated regions are needed, but its data sample has no '
            'gt_regions. Add deepunetto_mm.LoadRegions and deepunetto_mm.PackRegionInputs to the pipeline'
        )
    return sample.gt_regions


def given_regions(data_samples: Sequence[BaseDataElement], size: Sequence[int]) -> tuple[list[InstanceData], Tensor]:
    """Annotated regions of a batch, and their maps (N, H, W), padded to ``size`` as the pictures were."""
    regions = [annotated_regions(sample) for sample in data_samples]
    return regions, torch.stack([pad_region_map(sample.gt_region_map.data[0], size) for sample in data_samples])


def to_input_frame(
    region: InstanceData, region_map: Tensor, meta: Mapping[str, Any], shape: Sequence[int]
) -> tuple[InstanceData, Tensor]:
    """Move the regions of a picture to the network's input: resize, flip, pad; what ``Maps.originals`` undoes.

    Args:
        region: With ``bboxes`` (R, 4) in pixels of the original picture.
        region_map: (h, w) integers, of the original picture.
        meta: Meta information of its data sample: ``flip``, ``flip_direction`` and what :func:`padding_of` reads; all
            may be missing.
        shape: (H, W) of the input, padding included.

    Returns:
        The regions with ``bboxes`` in pixels of the input, and the region map (H, W), integers.
    """
    left, right, top, bottom = padding_of(meta)
    height, width = shape[0] - top - bottom, shape[1] - left - right
    scale = region.bboxes.new_tensor([width / region_map.shape[1], height / region_map.shape[0]])
    boxes = region.bboxes * scale.repeat(2)
    if region_map.shape != (height, width):
        # The pixel in which the middle of each new one lies; interpolate() has no integers, and rounds.
        rows, columns = (
            (2 * torch.arange(new, device=region_map.device) + 1) * old // (2 * new)
            for new, old in zip((height, width), region_map.shape)
        )
        region_map = region_map[rows[:, None], columns]
    if meta.get('flip'):
        x1, y1, x2, y2 = boxes.unbind(1)
        if meta['flip_direction'] == 'horizontal':
            boxes, region_map = torch.stack([width - x2, y1, width - x1, y2], 1), region_map.flip(1)
        else:
            boxes, region_map = torch.stack([x1, height - y2, x2, height - y1], 1), region_map.flip(0)
    boxes = boxes + boxes.new_tensor([left, top, left, top])
    return replace_fields(region, bboxes=boxes), pad_region_map(region_map, shape, left, top)
