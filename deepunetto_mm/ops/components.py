"""Connected components on the device of a label map, so that no map goes to the host.

They are found among the *runs* of a map, stretches of equal pixels of a row, of which there are far fewer than pixels.
Pixels are looked at three times, to find the runs, to number them, and to paint the regions.
"""

from typing import Any, NamedTuple, Optional, Sequence, Union

import torch
from torch import Tensor

from deepunetto_mm.utils.region_maps import PADDING_ID, RegionTable


class Runs(NamedTuple):
    """The R runs of a map (H, W), in reading order."""

    starts: Tensor  # (R,) int64, first pixel, counted in reading order
    ends: Tensor  # (R,) int64, last pixel
    of_pixel: Tensor  # (H, W) int32, the run of each pixel; of pixels without one, any, or -1
    inside: Tensor  # (H, W) bool, where there are runs


def find_runs(codes: Tensor) -> Runs:
    """The runs of a map (H, W) of integers, 0 for none."""
    inside = codes > 0
    differ = codes[:, 1:] != codes[:, :-1]
    begins, stops = inside.clone(), inside.clone()
    begins[:, 1:] &= differ
    stops[:, :-1] &= differ
    starts, ends = (torch.stack([begins, stops]).flatten(1).nonzero()[:, 1]).view(2, -1)
    return Runs(starts, ends, begins.flatten().cumsum(0, dtype=torch.int32).view_as(codes) - 1, inside)


def connect_runs(runs: Runs, codes: Tensor, connectivity: int = 8) -> Tensor:
    """The first run of each run's connected component, (R,) int64.

    Runs are hooked onto the least run that a neighbour or its parent is hooked onto, and skip over those in between,
    until nothing changes (Zhang, Azad and Hu, *FastSV: a distributed-memory connected component algorithm with fast
    convergence*, 2020).

    Args:
        runs: Those of ``codes``.
        codes: (H, W) integers. Neighbours of one code, not 0, are connected.
        connectivity: 4 or 8 neighbours.
    """
    height, width = codes.shape
    flat, starts = codes.flatten(), runs.starts
    own = torch.arange(len(starts), device=codes.device)
    # Where two runs touch, one of them begins above, below or (of 8 neighbours) beside the other one's pixel.
    left = torch.arange(connectivity // 4, device=codes.device)[:, None]
    beside = (starts % width) >= left
    edges = []
    for step, known in ((-width, starts >= width), (width, starts < (height - 1) * width)):
        place = torch.where(known & beside, starts + step - left, starts)
        edges.append(torch.where(flat[place] == flat[starts], runs.of_pixel.flatten()[place].long(), own))
    # Up to the first run of a chain, without conflicts; then chains are joined.
    parent = edges[0].amin(0)
    for _ in range(max(height - 1, 0).bit_length()):
        parent = parent[parent]
    there = torch.cat(edges)
    here = own.expand_as(there)
    here, there = torch.cat([here, there]).flatten(), torch.cat([there, here]).flatten()
    while True:
        before, low = parent, parent[there]
        parent = parent.scatter_reduce(0, parent[here], low, 'amin').scatter_reduce(0, here, low, 'amin')
        for _ in range(3):  # cheaper than a further round, at whose end a GPU has to be waited for
            parent = parent[parent]
        if torch.equal(parent, before):
            return parent


def number_runs(
    runs: Runs,
    first: Tensor,
    labels: Tensor,
    min_area: Union[int, Sequence[int]] = 1,
    max_regions: Optional[int] = None,
) -> RegionTable:
    """What :func:`~deepunetto_mm.ops.number_components` makes of components, as tensors.

    Args:
        runs: Those of a map (H, W).
        first: (R,) int64, the first run of each run's component.
        labels: (H, W) integers; a region gets the label of its first pixel.
        min_area, max_regions: As of :func:`~deepunetto_mm.ops.number_components`.
    """
    width = labels.shape[1]
    areas = torch.zeros_like(first).scatter_add(0, first, runs.ends - runs.starts + 1)
    least: Any = min_area
    if not isinstance(min_area, int):
        least = areas.new_tensor(min_area)[labels.flatten()[runs.starts].long()]
    large = (areas >= least) & (areas > 0)  # nothing is added but to the first run of a component
    order = torch.where(large)[0]
    # The first run begins at the first pixel. The least key comes first; two are never equal.
    order = order[(runs.starts[order] - areas[order] * labels.numel()).argsort()][:max_regions]
    ids = torch.arange(1, len(order) + 1, device=first.device)
    ids = ids + (ids >= PADDING_ID)
    high = torch.zeros_like(first)
    right = high.scatter_reduce(0, first, runs.ends % width + 1, 'amax')[order]
    bottom = high.scatter_reduce(0, first, runs.ends // width + 1, 'amax')[order]
    left = torch.full_like(first, width).scatter_reduce(0, first, runs.starts % width, 'amin')[order]
    bboxes = torch.stack([left, runs.starts[order] // width, right, bottom], 1).float()
    id_of_run = torch.zeros_like(first, dtype=torch.int32).scatter(0, order, ids.int())[first]
    # The index of a pixel without a run may be -1: the 0 that is added keeps it valid in a map without runs.
    region_map = torch.cat([id_of_run, id_of_run.new_zeros(1)])[runs.of_pixel] * runs.inside
    return RegionTable(region_map, ids, labels.flatten()[runs.starts[order]].long(), bboxes, areas[order])


def connected_regions_on_device(
    label_map: Tensor,
    group_of_class: Sequence[int],
    connectivity: int = 8,
    min_area: Union[int, Sequence[int]] = 1,
    max_regions: Optional[int] = None,
    by_class: bool = False,
) -> RegionTable:
    """The same regions as of :func:`~deepunetto_mm.ops.connected_regions`, with its arguments, as tensors.

    Args:
        label_map: (H, W) integers.
        group_of_class, connectivity, min_area, max_regions, by_class: As there, and checked there.
    """
    # Labels without an entry are the last class, of no group.
    table = torch.tensor([*group_of_class, -1], dtype=torch.int16, device=label_map.device)
    labels = label_map.int()
    labels = torch.where((labels >= 0) & (labels < len(group_of_class)), labels, len(group_of_class))
    groups = table[labels]
    codes = (labels + 1) * (groups >= 0) if by_class else groups + 1
    runs = find_runs(codes)
    # Runs lie in groups, whose index is at least 0.
    return number_runs(runs, connect_runs(runs, codes, connectivity), groups, min_area, max_regions)


def number_components_on_device(
    components: Tensor,
    count: int,
    labels: Tensor,
    min_area: Union[int, Sequence[int]] = 1,
    max_regions: Optional[int] = None,
) -> RegionTable:
    """The same regions as of :func:`~deepunetto_mm.ops.number_components`, with its arguments, as tensors.

    Args:
        components: (H, W) integers, 1 to ``count`` and 0 elsewhere; they need not be connected.
        count, labels, min_area, max_regions: As there.
    """
    runs = find_runs(components)
    component = components.flatten()[runs.starts].long()
    own = torch.arange(len(component), device=components.device)
    first = own.new_full((count + 1,), len(own)).scatter_reduce(0, component, own, 'amin')[component]
    return number_runs(runs, first, labels, min_area, max_regions)
