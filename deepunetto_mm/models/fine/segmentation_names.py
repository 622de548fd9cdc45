"""Names without a fine branch."""

from __future__ import annotations

from typing import Any, Sequence

import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from deepunetto_mm.ops import region_means
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.structures.maps import Maps


class SegmentationNames(nn.Module):
    """The plain alternative to a fine branch: a region gets the class that its pixels say.

    Args:
        taxonomy: Each fine class must be a segmentation class too, in its group.

    Raises:
        TaxonomyError: If that is not so.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        super().__init__()
        require_own_classes(taxonomy)
        self.taxonomy = taxonomy

    def predict(
        self, views: Any, regions: Sequence[InstanceData], region_maps: Sequence[Tensor], originals: Sequence[Maps]
    ) -> list[Tensor]:
        """Mean probability of each fine class's own segmentation class over each region; rows sum to 1.

        Arguments and result are those of :meth:`FineBranch.predict`; the views are not looked at.
        """
        of_fine = list(self.taxonomy.class_of_composed[len(self.taxonomy.stuff_classes) :])
        scores = []
        for region, region_map, maps in zip(regions, region_maps, originals):
            means = region_means(region_map, region.ids, maps.class_probs[0, of_fine])
            own_group = region.labels[:, None] == region.labels.new_tensor(self.taxonomy.group_of_fine)
            scores.append(F.normalize(means * own_group, p=1, dim=1))
        return scores

    def require_windows(self) -> None:
        """Raise ValueError: names by the segmentation need its probabilities."""
        raise ValueError(
            'test_cfg.keep_logits=False leaves no class probabilities of the picture, which names without a fine '
            'branch need: set keep_logits=True, or add crop_neck and fine_head'
        )


def require_own_classes(taxonomy: Taxonomy) -> None:
    """Raise TaxonomyError unless each fine class is a segmentation class of its own, in its group."""
    own = taxonomy.class_of_composed[len(taxonomy.stuff_classes) :]
    if -1 in own or len(set(own)) < len(own):
        raise TaxonomyError(
            'test_cfg.vote, and names without a fine branch, need a segmentation class for each fine class, of the '
            f'same name and in its group; classes are {list(taxonomy.classes)}, fine classes '
            f'{list(taxonomy.fine_classes)}'
        )
