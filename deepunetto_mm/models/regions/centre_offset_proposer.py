"""Regions from centres that the network has learnt."""

from typing import Any, Iterator, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.models.regions.connected_components_proposer import ConnectedComponentsProposer
from deepunetto_mm.ops import RegionTable, nearest_points, number_components, number_components_on_device, row_strips
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
        min_area: Union[int, Sequence[int]] = 1,
        max_regions: Optional[int] = None,
        backend: Optional[str] = None,
        by_class: bool = False,
    ) -> None:
        super().__init__(taxonomy, connectivity, min_area, max_regions, backend, by_class)
        if window < 1 or window % 2 == 0:
            raise ValueError(f'CentreOffsetProposer: window must be an odd number of pixels, got {window}')
        self.head = head
        self.reads = (f'{head}.heat', f'{head}.vectors')
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
        half = self.window // 2
        found = (heat == self._greatest_around(heat)) & (heat > self.threshold)
        rows, columns = found.nonzero().unbind(1)
        # Of equally hot neighbours, the first.
        padded, first = F.pad(found, (half,) * 4), torch.ones_like(rows, dtype=torch.bool)
        for earlier in range(self.window**2 // 2):
            first &= ~padded[rows + earlier // self.window, columns + earlier % self.window]
        centres = torch.stack([columns, rows], 1)[first]
        if self.max_centres is None or len(centres) <= self.max_centres:
            return centres
        kept = heat[centres[:, 1], centres[:, 0]].topk(self.max_centres).indices
        return centres[kept.sort().values]

    def _greatest_around(self, values: Tensor) -> Tensor:
        """The maximum in the window around each pixel of a map (H, W); a max pooling takes five times as long."""
        values, reach = F.pad(values, (self.window // 2,) * 4, value=-torch.inf), 1
        while reach < self.window:
            step = min(reach, self.window - reach)
            for dim in (0, 1):
                values = torch.maximum(
                    values.narrow(dim, step, values.shape[dim] - step), values.narrow(dim, 0, values.shape[dim] - step)
                )
            reach += step
        return values

    def _group(self, labels: Tensor, heat: Tensor, vectors: Tensor) -> tuple[RegionTable, Tensor]:
        """The regions of a picture, and the heat (R,) of their centres; maps (H, W) and (2, H, W)."""
        centres = self.find_centres(heat)
        if not len(centres):
            table = self._find_regions(labels)
            return table, heat.new_full((len(table),), self.threshold)
        components = torch.as_tensor(self._find_regions(labels, every=True).region_map, device=heat.device)
        component_at, class_at, vector_at = components.flatten(), labels.flatten(), vectors.flatten(1)
        # Keys of the pixels: 0 for no object, from 1 centres (of each class), and after all of those components.
        keys = torch.zeros_like(component_at)
        votes = torch.zeros(int(components.max()) + 1, dtype=torch.int64, device=heat.device)
        for pixels in _pixels_of_objects(components):
            nearest, agrees = self._nearest(pixels, vector_at[:, pixels], centres, labels.shape)
            keys[pixels] = nearest + 1
            votes.index_add_(0, component_at[pixels], 2 * agrees.long() - 1)
        per_centre = len(self.taxonomy.classes) if self.by_class else 1
        first_component = 1 + len(centres) * per_centre
        groups = torch.tensor(self.taxonomy.group_of_class, device=heat.device)
        areas = torch.zeros(first_component + len(votes), len(self.taxonomy.groups), dtype=torch.int64).to(heat.device)
        for pixels in _pixels_of_objects(components):
            component, classes = component_at[pixels], class_at[pixels].long()
            key = keys[pixels] if not self.by_class else (keys[pixels] - 1) * per_centre + classes.int() + 1
            key = torch.where((votes < 0)[component.long()], first_component + component, key)
            keys[pixels] = key
            areas += torch.bincount(key * areas.shape[1] + groups[classes], minlength=areas.numel()).view_as(areas)
        present = areas.sum(1) > 0
        numbers = present.cumsum(0, dtype=torch.int32) * present
        of_number = present.nonzero()[:, 0]
        region_map: Any = numbers[keys].view_as(components)
        number: Any = number_components_on_device
        if not self._on_device(heat):
            number, region_map = number_components, region_map.cpu().numpy()
        least = self.min_area
        if not isinstance(least, int):
            least = [1, *(least[group] for group in areas[of_number].argmax(1).tolist())]
        table = number(region_map, len(of_number), region_map, least, self.max_regions)
        of_region = of_number[torch.as_tensor(table.labels - 1, device=heat.device)]
        table.labels = areas[of_region].argmax(1)
        x, y = centres[((of_region - 1) // per_centre).clamp(max=len(centres) - 1)].unbind(1)
        return table, torch.where(of_region < first_component, heat[y, x].clamp(max=1), self.threshold)

    def _nearest(self, pixels: Tensor, vectors: Tensor, centres: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The centre of each pixel, (P,) int32, and whether the pixel agrees with it, (P,) bool.

        Args:
            pixels: (P,) int64, in a picture of ``size``, height and width, counted in reading order.
            vectors: (2, P).
            centres: (K, 2) int64.
        """
        height, width = size
        steps = vectors.float().nan_to_num()
        places = torch.stack([pixels % width, pixels // width]) + steps
        x, y = (place.round().clamp(0, most - 1).long() for place, most in zip(places, (width, height)))
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
        far = (places - centres.T.float()[:, nearest]).square().sum(0)
        return nearest, far <= steps.square().sum(0).clamp(min=(self.window // 2) ** 2)


def _pixels_of_objects(components: Tensor) -> Iterator[Tensor]:
    """Where components are, (P,) int64 counted in reading order, a strip of the picture at a time."""
    for rows in row_strips(*components.shape):
        pixels = components[rows].flatten().nonzero()[:, 0]
        if len(pixels):
            yield pixels + rows.start * components.shape[1]
