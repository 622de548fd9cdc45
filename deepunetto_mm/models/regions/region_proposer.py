"""What a region proposer is: all maps of pictures in, regions out."""

import functools
from typing import Iterable, Optional, Sequence, Union

import torch
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from deepunetto_mm.ops import RegionTable, region_means
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

    reads: Sequence[str] = ()
    """The maps of dense heads that it cannot do without: :class:`DeepUNetto` is not built unless it has them."""

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
            A proposer that knows how sure it is of an object adds ``objectness`` (R,), from 0 to 1, and multiplies
            the scores by it.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a forward')

    @staticmethod
    def gather(tables: Iterable[RegionTable], maps: Maps) -> tuple[list[InstanceData], Tensor]:
        """The regions of N tables, in the order of the pictures, as :meth:`forward` returns them."""
        device, (height, width) = maps.labels.device, maps.size
        regions, region_maps = [], torch.empty(len(maps.labels), height, width, dtype=torch.int32, device=device)
        for index, (table, region_map) in enumerate(zip(tables, region_maps)):
            region_map.copy_(torch.as_tensor(table.region_map))
            ids, labels, bboxes, areas = (
                torch.as_tensor(column, device=device)
                for column in (table.ids, table.labels, table.bboxes, table.areas)
            )
            means = region_means(region_map, ids, functools.partial(maps.group_probs_at, index))
            scores = means.gather(1, labels[:, None])[:, 0]
            regions.append(
                InstanceData(ids=ids, labels=labels, bboxes=bboxes, areas=areas, group_probs=means, scores=scores)
            )
        return regions, region_maps
