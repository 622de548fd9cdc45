"""Regions of a map: tables by their ids, and means over them."""

from typing import Any, Callable, Union

import torch
from mmengine import dist
from torch import Tensor

from deepunetto_mm.utils.region_maps import row_strips


def region_means(
    region_map: Tensor, ids: Tensor, values: Union[Tensor, Callable[[tuple[Tensor, ...], slice], Tensor]]
) -> Tensor:
    """Mean of each map over each region.

    Args:
        region_map: (H, W) integers, 0 for no region; ids that are not in ``ids`` are ignored.
        ids: (R,) int64, ascending.
        values: (M, H, W) float; or what computes them (M, P) at P pixels, given where they are, two indices (P,) of
            rows and columns, in which strip of rows.

    Returns:
        (R, M) float32; 0 for a region without a pixel.
    """
    # float64: a float32 sum of a million probabilities is wrong in the third digit.
    sums: Any = None
    areas = torch.zeros(len(ids), dtype=torch.int64, device=ids.device)
    # A table of all ids: a search for each pixel takes much longer.
    row_of_id = table_by_id(region_map, ids, torch.arange(len(ids), device=ids.device), -1)
    for rows in row_strips(*region_map.shape):
        position = row_of_id[region_map[rows].long()]
        where = torch.where(position >= 0)  # once: a GPU has to be waited for, to know how many there are
        position = position[where]
        own = values[:, rows][:, where[0], where[1]] if isinstance(values, Tensor) else values(where, rows)
        sums = own.new_zeros(len(ids), len(own), dtype=torch.float64) if sums is None else sums
        sums.index_add_(0, position, own.T.double())
        areas.scatter_add_(0, position, torch.ones_like(position))
    return (sums / areas.clamp(min=1)[:, None]).float()


def table_by_id(region_map: Tensor, ids: Tensor, values: Tensor, other: int) -> Tensor:
    """A table of the values (R,) of regions by their ids (R,); ``other`` for the other numbers of their map (H, W)."""
    largest = int(torch.cat([region_map.max()[None], ids]).max())
    table = values.new_full((largest + 1,), other)
    table[ids] = values
    return table


def share_of_mean(total: Tensor, weight: Tensor) -> Tensor:
    """The share of this process in a weighted mean over the regions, or pixels, of all processes.

    Gradients are averaged over the processes. Regions then weigh the same, whichever process has them, if each process
    divides its sum by the mean of all sums of weights.

    Args:
        total: Sum of weight times loss over the regions of this process, a scalar.
        weight: Sum of their weights, a scalar; 0 without regions, for which the share is 0.
    """
    mean = weight.detach().clone().float()
    dist.all_reduce(mean, 'mean')
    return total / mean.clamp(min=1e-6)
