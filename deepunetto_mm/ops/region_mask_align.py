"""RoIAlign of each region's mask, without a full-size map for each region."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


def region_mask_align(
    region_maps: Tensor,
    rois: Tensor,
    ids: Tensor,
    output_size: tuple[int, int],
    probs: Optional[Tensor] = None,
    labels: Optional[Tensor] = None,
    sampling_ratio: int = 2,
) -> Tensor:
    """Crop, for each region r, the map ``(region_maps == ids[r]) * probs[:, labels[r]]``.

    The result equals ``torchvision.ops.roi_align(..., aligned=True)`` of that product, but only the sampled pixels are
    read: R products of a 1024 x 2048 picture with hundreds of regions would not fit in memory.

    Args:
        region_maps: (N, H, W) integers, region ids.
        rois: (R, 5) float, index of the picture and xyxy in pixels of the maps.
        ids: (R,) the region of each RoI.
        output_size: (h, w).
        probs: (N, G, H, W) float, a map for each group, or None for the membership only. It receives gradients.
        labels: (R,) which of the G maps belongs to each RoI; required with ``probs``.
        sampling_ratio: Samples along each axis of an output pixel.

    Returns:
        (R, 1, h, w) of the dtype of ``probs`` (of ``rois`` without it), from 0 to 1 if ``probs`` are.
    """
    height, width = region_maps.shape[-2:]
    out_h, out_w = output_size[0] * sampling_ratio, output_size[1] * sampling_ratio
    picture = rois[:, 0].long()[:, None, None]
    y_low, y_high, y_weight, y_inside = _sample(rois[:, 2], rois[:, 4], out_h, height)
    x_low, x_high, x_weight, x_inside = _sample(rois[:, 1], rois[:, 3], out_w, width)
    dtype = rois.dtype if probs is None else probs.dtype
    values = torch.zeros(rois.shape[0], out_h, out_w, dtype=dtype, device=rois.device)
    for y, wy in ((y_low, 1 - y_weight), (y_high, y_weight)):
        for x, wx in ((x_low, 1 - x_weight), (x_high, x_weight)):
            rows, columns = y[:, :, None], x[:, None, :]
            corner = (region_maps[picture, rows, columns] == ids[:, None, None]).to(dtype)
            if probs is not None:
                assert labels is not None, 'probs need labels: which map belongs to which region'
                corner = corner * probs[picture, labels[:, None, None], rows, columns]
            values = values + corner * (wy[:, :, None] * wx[:, None, :]).to(dtype)
    values = values * (y_inside[:, :, None] & x_inside[:, None, :])
    return F.avg_pool2d(values[:, None], sampling_ratio)


def _sample(start: Tensor, stop: Tensor, count: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Neighbours and weight of ``count`` points spread over each interval, all (R, count).

    The rules at the border are torchvision's: a point more than one pixel outside has weight 0, a nearer one is
    clamped to the border's pixel. Pixel centres lie at halves, hence the 0.5.
    """
    steps = (torch.arange(count, device=start.device) + 0.5) / count
    point = start[:, None] - 0.5 + steps * (stop - start)[:, None]
    inside = (point >= -1) & (point <= size)
    point = point.clamp(0, size - 1)
    low = point.floor().long()
    return low, (low + 1).clamp(max=size - 1), point - low, inside
