"""The nearest of many points."""

import torch
from torch import Tensor

_CELL = 8  # pixels; a query is compared with the few points that may be nearest to its cell


def nearest_points(queries: Tensor, points: Tensor) -> Tensor:
    """The nearest point of each query, exactly.

    The plane is quartered again and again, down to cells of 8 pixels. A point goes on to a quarter unless the nearest
    one of its middle is nearer to all of that quarter. Few are left for each cell: time and memory grow with the number
    of queries plus the number of points, not with their product.

    Args:
        queries: (Q, 2) float, finite.
        points: (K, 2) float, at least one. Ties go to the first.

    Returns:
        (Q,) int64, indices of points.
    """
    device = queries.device
    if len(queries) == 0:
        return torch.zeros(0, dtype=torch.int64, device=device)
    low, exact = queries.amin(0), points.double()
    cells = ((queries - low) / _CELL).long()
    levels = int(cells.max()).bit_length()
    width = 2**levels
    codes, of_query = torch.unique(cells[:, 0] * width + cells[:, 1], return_inverse=True)
    # Pairs (cell, point): a cell by its row and column at the level, and the point that may be nearest in it.
    owner = torch.zeros(len(points), 2, dtype=torch.int64, device=device)
    point = torch.arange(len(points), device=device)
    for level in range(levels, -1, -1):
        if level < levels:
            quarters = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], device=device)
            owner, point = (2 * owner + quarters[:, None]).flatten(0, 1), point.repeat(4)
        across = width >> level
        used = torch.unique((codes // width >> level) * across + (codes % width >> level))
        code = owner[:, 0] * across + owner[:, 1]
        slot = torch.searchsorted(used, code).clamp(max=len(used) - 1)
        seen = used[slot] == code
        owner, point, slot = owner[seen], point[seen], slot[seen]
        side = _CELL * 2.0**level
        distance = (exact[point] - (low + (owner + 0.5) * side)).square().sum(1)
        least = distance.new_full((len(used),), torch.inf).scatter_reduce(0, slot, distance, 'amin')[slot]
        rival = torch.zeros_like(used)
        rival[slot[distance == least]] = point[distance == least]
        # How much nearer than at the middle of the cell a point may be at a corner, compared with its rival.
        gain = side * (exact[point] - exact[rival[slot]]).abs().sum(1)
        near = distance - least <= gain
        owner, point, slot = owner[near], point[near], slot[near]
    order = (slot * len(points) + point).argsort()
    slot, point = slot[order], point[order]
    counts = torch.bincount(slot, minlength=len(codes))
    first = counts.cumsum(0) - counts
    return _nearest_of_candidates(queries, points, point, first[of_query], counts[of_query])


def _nearest_of_candidates(
    queries: Tensor, points: Tensor, candidates: Tensor, first: Tensor, counts: Tensor
) -> Tensor:
    """The nearest of the points ``candidates[first : first + counts]`` of each query; a query has at least one."""
    nearest = candidates[first]
    rows = (counts > 1).nonzero()[:, 0]
    best = (queries[rows] - points[nearest[rows]]).square().sum(1)
    rank = 1
    while len(rows):
        other = candidates[first[rows] + rank]
        distance = (queries[rows] - points[other]).square().sum(1)
        closer = distance < best
        nearest[rows[closer]] = other[closer]
        rank += 1
        left = counts[rows] > rank
        rows, best = rows[left], torch.minimum(best, distance)[left]
    return nearest
