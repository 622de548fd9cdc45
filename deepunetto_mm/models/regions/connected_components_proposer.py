"""Regions from connected components."""

from typing import Any, Callable, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.models.regions.region_proposer import RegionProposer
from deepunetto_mm.ops import RegionTable, connected_regions, connected_regions_on_device
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

BACKENDS = (None, 'torch', 'cv2', 'cc3d')


@MODELS.register_module()
class ConnectedComponentsProposer(RegionProposer):
    """Turn label maps into regions: the connected components of the union of each group's classes.

    Touching objects of one group become one region, unless a splitter parts them. The proposer has no parameters and
    passes no gradient: where an object is, is decided by the label map; what reaches the segmentation from the fine
    loss goes through the crop's mask.

    Args:
        taxonomy: The taxonomy or its dict.
        connectivity: 4 or 8 neighbours.
        min_area: Regions of fewer pixels are left out: a number, or one for each group.
        max_regions: Maximum number of regions in a picture, the largest first; None for all.
        backend: ``'torch'`` finds them on the device of the maps, ``'cv2'`` and ``'cc3d'`` on the CPU; the regions are
            the same. None for the faster one that is installed: torch unless the maps are on the CPU. Components that a
            splitter cuts are found on the CPU.
        by_class: Components of each class of a group by itself, not of their union: for groups whose classes are
            objects and not parts of one, as where car and bus are segmentation classes.
        by_name: Map of logits of the fine classes, such as ``'names.logits'`` of a :class:`FineMapHead`: components of
            each fine class that it gives to the pixels of a group, so that a pedestrian before a car is a region of
            its own. None for the union.
        splitter: Config of a module that cuts a region into objects, such as :class:`DistanceWatershed`: called with
            the region's mask in its box, (h, w) bool, and the ``min_area`` of its group, it returns the parts, (h, w)
            integers from 1. None cuts nothing.

    Raises:
        ValueError: If an option is wrong, or the backend is not installed.
    """

    across_groups = False  # an option of BorderWatershed: without borders all touching objects would be one

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        connectivity: int = 8,
        min_area: Union[int, Sequence[int]] = 1,
        max_regions: Optional[int] = None,
        backend: Optional[str] = None,
        by_class: bool = False,
        splitter: Optional[dict] = None,
        by_name: Optional[str] = None,
    ) -> None:
        super().__init__(taxonomy)
        if by_class and by_name:
            raise ValueError(f'regions are components by class or by name: by_class=True and by_name={by_name!r}')
        self.connectivity = connectivity
        self.min_area = list(min_area) if isinstance(min_area, (list, tuple)) else min_area
        names = [group.name for group in self.taxonomy.groups]
        numbers = self.min_area if isinstance(self.min_area, list) else [self.min_area] * len(names)
        if len(numbers) != len(names) or not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ValueError(
                f'min_area must be a number of pixels, at least 1, or a list with one for each of the groups {names}, '
                f'got {min_area!r}'
            )
        self.max_regions = max_regions
        self.backend = backend
        self.by_class = by_class
        self.by_name = by_name
        self.splitter = None if splitter is None else MODELS.build(splitter)
        if backend not in BACKENDS:
            raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
        # Otherwise a wrong option would fail only at the first validation, after an epoch of training.
        self._find_regions(torch.zeros(1, 1, dtype=torch.uint8), lambda mask, window, least: mask)

    @torch.no_grad()
    def forward(self, maps: Maps) -> tuple[list[InstanceData], Tensor]:
        """Find the regions of a batch; arguments and result as in :class:`RegionProposer`."""
        splitters = (self._splitter_of(maps, i) for i in range(len(maps.labels)))
        labels = maps.labels if self.by_name is None else maps.named_labels(self.by_name)
        return self.gather((self._find_regions(*item) for item in zip(labels, splitters)), maps)

    def _splitter_of(self, maps: Maps, picture: int) -> Optional[Callable[[np.ndarray, Any, int], np.ndarray]]:
        """What cuts the components of one of the pictures, given the maps: as of :func:`connected_regions`, or None."""
        return self.splitter and (lambda mask, window, least: self.splitter(mask, least))

    def _on_device(self, maps: Tensor) -> bool:
        """Whether torch finds the components of maps."""
        return self.backend == 'torch' or (self.backend is None and maps.device.type != 'cpu')

    def _find_regions(self, label_map: Tensor, split: Optional[Callable] = None, every: bool = False) -> RegionTable:
        """The components of a label map (H, W): every one, or those that the limits on area and number leave."""
        limits = (1, None) if every else (self.min_area, self.max_regions)
        by_name = self.by_name is not None
        groups = self.taxonomy.group_of_class + self.taxonomy.group_of_fine * by_name
        options, by_class = (groups, self.connectivity, *limits), self.by_class or by_name
        if split is None and self._on_device(label_map):
            return connected_regions_on_device(label_map, *options, by_class)
        backend = None if self.backend == 'torch' else self.backend
        return connected_regions(label_map.cpu().numpy(), *options, backend, split, by_class, self.across_groups)
