"""Means of maps over regions."""

import torch
from torch import Tensor

from deepunetto_mm.ops.strips import row_strips


def region_means(region_map: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """Mean of each map over each region.

    Args:
        region_map: (H, W) integers, 0 for no region; ids that are not in ``ids`` are ignored.
        ids: (R,) int64, ascending.
        values: (M, H, W) float.

    Returns:
        (R, M) float32; 0 for a region without a pixel.
    """
    # float64: a float32 sum of a million probabilities is wrong in the third digit.
    sums = torch.zeros(len(ids), len(values), dtype=torch.float64, device=values.device)
    areas = torch.zeros(len(ids), dtype=torch.int64, device=values.device)
    for rows in row_strips(*region_map.shape):
        inside = torch.isin(region_map[rows], ids)
        position = torch.searchsorted(ids, region_map[rows][inside].long())
        sums.index_add_(0, position, values[:, rows][:, inside].T.double())
        areas += torch.bincount(position, minlength=len(ids))
    return (sums / areas.clamp(min=1)[:, None]).float()
