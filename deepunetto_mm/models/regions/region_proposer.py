"""What a region proposer is: all maps of pictures in, regions out."""

from __future__ import annotations

from typing import Optional, Union

from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps


class RegionProposer(BaseModule):
    """Base of region proposers.

    A proposer may have parameters. If it defines ``loss(maps, data_samples)``, :class:`DeepUNetto` calls it in training
    with the maps at the network's own stride, and logs its losses under ``regions.``; what :class:`DenseHead` says of
    losses holds for them too.

    Args:
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
    """

    def __init__(self, taxonomy: Union[dict, Taxonomy], init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.taxonomy = Taxonomy.from_dict(taxonomy)

    def forward(self, maps: Maps) -> tuple[list[InstanceData], Tensor]:
        """Find the regions of N pictures.

        Args:
            maps: All maps of the pictures: ``labels``, ``group_probs``, and ``maps['centres.heat']`` and the like of
                dense heads. ``logits`` and ``class_probs`` are missing with ``test_cfg.keep_logits=False``.

        Returns:
            For each picture an InstanceData with ``ids`` (R,) ascending, ``labels`` (R,) group, ``bboxes`` (R, 4) xyxy
            half open in pixels of the maps, ``areas`` (R,), ``group_probs`` (R, G) their mean over the region, and
            ``scores`` (R,) that of its own group; and the region maps (N, H, W) int32. All on the device of the maps.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a forward')
