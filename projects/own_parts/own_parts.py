"""A region proposer, a guidance and a fine backbone of one's own, each as small as it can be."""

from typing import Optional, Sequence, Union

import numpy as np
import torch
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from scipy import ndimage
from torch import Tensor, nn

from deepunetto_mm.models import ConnectedComponentsProposer, MaskGuidedRoICrop
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps


@MODELS.register_module()
class ClosedGapsProposer(ConnectedComponentsProposer):
    """Connected components, after gaps in the label map are closed: what a thin occluder cuts in two is one region.

    Args:
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
        gap: Gaps of at most this many pixels within a class are closed.
        min_area: As in :class:`ConnectedComponentsProposer`.
    """

    def __init__(self, taxonomy: Union[dict, Taxonomy], gap: int = 2, min_area: int = 1) -> None:
        super().__init__(taxonomy, min_area=min_area)
        self.gap = gap

    def forward(self, maps: Maps) -> tuple[list[InstanceData], Tensor]:
        """Regions and their maps; argument and result are the parent's."""
        closed = [torch.from_numpy(self._close(label_map)) for label_map in maps.labels.cpu().numpy()]
        labels = torch.stack(closed).to(maps.labels)
        return super().forward(Maps.known(self.taxonomy, labels=labels, group_probs=maps.group_probs))

    def _close(self, label_map: np.ndarray) -> np.ndarray:
        closed = label_map.copy()
        # Beyond the border lies nothing to close.
        padded = np.pad(label_map, self.gap, constant_values=-1)
        inner = slice(self.gap, -self.gap)
        for label in np.flatnonzero(np.asarray(self.taxonomy.group_of_class) >= 0):
            closing = ndimage.binary_closing(padded == label, np.ones((self.gap + 1, self.gap + 1)))[inner, inner]
            closed[closing] = label
        return closed


@MODELS.register_module()
class DimmedSurroundings(MaskGuidedRoICrop):
    """A guidance that dims what is not the region's instead of blanking it out: between ``'hard'`` and ``'none'``.

    Args:
        output_size: Height and width of the crops.
        dimming: What is left of the surroundings, from 0 (hard) to 1 (none).
        margin: As in :class:`MaskGuidedRoICrop`.
    """

    def __init__(self, output_size: int = 32, dimming: float = 0.3, margin: float = 0.1) -> None:
        super().__init__(output_size, guidance='hard', margin=margin)
        self.dimming = dimming

    def masks(
        self, regions: Sequence[InstanceData], region_maps: Tensor, rois: Tensor, group_probs: Optional[Tensor]
    ) -> Optional[Tensor]:
        """Masks (R, 1, h, w) that the crops are multiplied by."""
        mask = super().masks(regions, region_maps, rois, group_probs)
        return self.dimming + (1 - self.dimming) * mask


@MODELS.register_module()
class PatchCones(BaseModule):
    """A fine backbone: patches of 4x4 pixels, and two layers that look at each by itself; no place for shape.

    Args:
        channels: Width of both layers.
        in_channels: Channels of the crops.
    """

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 4, stride=4), nn.GELU(), nn.Conv2d(channels, channels, 1), nn.GELU()
        )

    def forward(self, crops: Tensor) -> tuple[Tensor]:
        """A tuple of feature maps, here one, (R, channels, h/4, w/4), of crops (R, in_channels, h, w); R may be 0."""
        return (self.layers(crops),)
