"""Regions from centres that the network has learnt."""

from __future__ import annotations

from typing import Optional, Union

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.models.regions.connected_components_proposer import ConnectedComponentsProposer
from deepunetto_mm.ops import RegionTable, nearest_points, number_components, row_strips
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps


@MODELS.register_module()
class CentreOffsetProposer(ConnectedComponentsProposer):
    """Group the pixels of objects by the centre that they point to, with the maps of a ``CentreOffsetHead``.

    ::

        heat ─▶ centres: maxima of their surroundings above a threshold ─┐
        vectors ─▶ pixel + vector: the place of its centre ──────────────┴▶ nearest centre ─▶ regions
        class logits ─▶ which pixels are of objects, and the region's group

    Touching objects come apart, and an object that another one cuts in two stays one (Cheng et al., *Panoptic-DeepLab*,
    CVPR 2020). A region's group is the one of most of its pixels.

    A pixel agrees with its centre if the place it points to is nearer to the centre than to the pixel itself, or within
    half of the window. A connected component of which most pixels do not agree has no centre: it becomes a region as
    it is. So without centres, or with a head that has learnt nothing, the regions are the connected components.

    The score of a region is the mean probability of its group times its ``objectness``: the heat of its centre, or the
    threshold for a component without centre.

    Args:
        taxonomy: The taxonomy or its dict.
        head: Name of the ``CentreOffsetHead`` in ``dense_heads``.
        threshold: Of the heat of a centre.
        window: Side of the square in which a centre is the hottest pixel; odd.
        max_centres: Maximum number of centres in a picture, the hottest first; None for all.
        connectivity, min_area, max_regions, backend: As in :class:`ConnectedComponentsProposer`.
        by_class: Pixels of different classes are never one region, even if they point to the same centre.

    Raises:
        ValueError: If an option is wrong, or the backend is not installed.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        head: str = 'centres',
        threshold: float = 0.1,
        window: int = 7,
        max_centres: Optional[int] = None,
        connectivity: int = 8,
        min_area: int = 1,
        max_regions: Optional[int] = None,
        backend: Optional[str] = None,
        by_class: bool = False,
    ) -> None:
        super().__init__(taxonomy, connectivity, min_area, max_regions, backend, by_class)
        if window < 1 or window % 2 == 0:
            raise ValueError(f'CentreOffsetProposer: window must be an odd number of pixels, got {window}')
        self.head = head
        self.threshold = threshold
        self.window = window
        self.max_centres = max_centres

    @torch.no_grad()
    def forward(self, maps: Maps) -> tuple[list[InstanceData], Tensor]:
        """Find the regions of a batch; arguments and result as in :class:`RegionProposer`."""
        pictures = zip(maps.labels, maps[f'{self.head}.heat'][:, 0], maps[f'{self.head}.vectors'])
        found = [self._group(*picture) for picture in pictures]
        regions, region_maps = self.gather((table for table, _ in found), maps)
        for region, (_, heat) in zip(regions, found):
            region.objectness, region.scores = heat, region.scores * heat
        return regions, region_maps

    def find_centres(self, heat: Tensor) -> Tensor:
        """The centres (K, 2) int64, x and y, in reading order, of a heat map (H, W)."""
        hottest = heat == self._greatest_around(heat)
        rows, columns = (hottest & (heat > self.threshold)).nonzero().unbind(1)
        # Of equally hot neighbours, the first.
        rank = torch.zeros_like(heat)
        rank[rows, columns] = torch.arange(len(rows), 0, -1, device=heat.device).to(heat)
        first = rank[rows, columns] == self._greatest_around(rank)[rows, columns]
        centres = torch.stack([columns, rows], 1)[first]
        if self.max_centres is None or len(centres) <= self.max_centres:
            return centres
        kept = heat[centres[:, 1], centres[:, 0]].topk(self.max_centres).indices
        return centres[kept.sort().values]

    def _greatest_around(self, values: Tensor) -> Tensor:
        """The maximum in the window around each pixel of a map (H, W), by rows and then by columns."""
        half = self.window // 2
        values = F.max_pool2d(values[None], (1, self.window), 1, (0, half))
        return F.max_pool2d(values, (self.window, 1), 1, (half, 0))[0]

    def _group(self, labels: Tensor, heat: Tensor, vectors: Tensor) -> tuple[RegionTable, Tensor]:
        """The regions of a picture, and the heat (R,) of their centres; maps (H, W) and (2, H, W)."""
        centres, label_map = self.find_centres(heat), labels.cpu().numpy()
        if not len(centres):
            table = self._find_regions(label_map)
            return table, heat.new_full((len(table),), self.threshold)
        components = torch.from_numpy(self._find_regions(label_map, every=True).region_map).to(heat.device)
        keys = torch.zeros_like(components)
        votes = torch.zeros(int(components.max()) + 1, dtype=torch.int64, device=heat.device)
        for rows in row_strips(*keys.shape):
            inside = components[rows] > 0
            if not inside.any():
                continue
            keys[rows][inside], agrees = self._nearest(inside, rows.start, vectors[:, rows], centres, len(heat))
            votes.index_add_(0, components[rows][inside], 2 * agrees.long() - 1)
        # From here on a pixel's key is its centre (and class), or after all of those its component.
        per_centre = len(self.taxonomy.classes) if self.by_class else 1
        first_component = len(centres) * per_centre
        group_of_class = torch.tensor(self.taxonomy.group_of_class, device=heat.device)
        areas = torch.zeros(first_component + len(votes), len(self.taxonomy.groups), dtype=torch.int64).to(heat.device)
        for rows in row_strips(*keys.shape):
            inside = components[rows] > 0
            component, classes = components[rows][inside].long(), labels[rows][inside].long()
            key = keys[rows][inside].long() * per_centre + (classes if self.by_class else 0)
            key = torch.where(votes[component] < 0, first_component + component, key)
            keys[rows][inside] = key.int()
            pixels = key * areas.shape[1] + group_of_class[classes]
            areas += torch.bincount(pixels, minlength=areas.numel()).view_as(areas)
        present = areas.sum(1) > 0
        numbers = present.cumsum(0, dtype=torch.int32)
        for rows in row_strips(*keys.shape):
            keys[rows] = torch.where(components[rows] > 0, numbers[keys[rows].long()], 0)
        region_map = keys.cpu().numpy()
        table = number_components(region_map, int(numbers[-1]), region_map, self.min_area, self.max_regions)
        of_region = present.nonzero()[:, 0][torch.from_numpy(table.labels - 1).to(heat.device)]
        table.labels = areas[of_region].argmax(1).cpu().numpy()
        x, y = centres[(of_region // per_centre).clamp(max=len(centres) - 1)].unbind(1)
        return table, torch.where(of_region < first_component, heat[y, x].clamp(max=1), self.threshold)

    def _nearest(
        self, inside: Tensor, above: int, vectors: Tensor, centres: Tensor, height: int
    ) -> tuple[Tensor, Tensor]:
        """The centre of each pixel of objects, (P,) int32, and whether the pixel agrees with it, (P,) bool.

        Args:
            inside: (h, W) bool, where objects are in a strip of the picture.
            above: Number of rows above the strip.
            vectors: (2, h, W).
            centres: (K, 2) int64.
            height: Of the whole picture.
        """
        rows, columns = inside.nonzero().unbind(1)
        steps = vectors[:, rows, columns].float().nan_to_num()
        places = torch.stack([columns, rows + above]) + steps
        width = inside.shape[1]
        x, y = (place.round().long().clamp(0, most - 1) for place, most in zip(places, (width, height)))
        # Many pixels point to the same place: one search for all of them.
        codes = y * width + x
        first = codes.min()
        codes -= first
        found = torch.zeros(int(codes.max()) + 1, dtype=torch.int32, device=codes.device)
        found[codes] = 1
        searched = found.nonzero()[:, 0]
        where = torch.stack([(searched + first) % width, (searched + first) // width], 1)
        found[searched] = nearest_points(where.float(), centres.float()).int()
        nearest = found[codes]
        far = (places - centres[nearest].T).square().sum(0)
        return nearest, far <= steps.square().sum(0).clamp(min=(self.window // 2) ** 2)
