"""Names without crops."""

from typing import Any, Callable, Sequence

import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from deepunetto_mm.models.fine.fine_head import allowed_names
from deepunetto_mm.ops import region_means
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.structures.maps import Maps


class SegmentationNames(nn.Module):
    """The plain alternative to a fine branch: a region gets the name that its pixels say.

    Args:
        taxonomy: The taxonomy. By class logits, each fine class must be a segmentation class too, in its group.
        source: The map that names: ``'logits'``, the class logits, or logits of the K fine classes by a dense head.
        condition: ``'hard'`` names a region among the fine classes of its group, ``'soft'`` among all: the score of a
            class is the geometric mean of its probabilities within its group, times the group's probability in the
            region. It needs log-probabilities of a dense head, as :class:`FineMapHead` paints them; they are averaged
            as they are, so that names on which the pixels disagree count less.

    Raises:
        TaxonomyError: If a fine class has no segmentation class of its own.
        ValueError: If the condition is another, or ``'soft'`` by class logits.
    """

    def __init__(self, taxonomy: Taxonomy, source: str = 'logits', condition: str = 'hard') -> None:
        super().__init__()
        if condition not in (('hard',) if source == 'logits' else ('hard', 'soft')):
            raise ValueError(
                f"condition must be 'hard', or 'soft' by a map of a dense head, got {condition!r} by {source!r}"
            )
        if source == 'logits':
            require_own_classes(taxonomy)
        self.taxonomy = taxonomy
        self.source = source
        self.condition = condition
        self.allowed: Tensor
        self.register_buffer('allowed', allowed_names(taxonomy), persistent=False)

    def predict(
        self, views: Any, regions: Sequence[InstanceData], region_maps: Sequence[Tensor], originals: Sequence[Maps]
    ) -> list[Tensor]:
        """Scores (R_i, K) of the fine classes; rows sum to 1, or of names in all groups to at most 1.

        Arguments are those of :meth:`FineBranch.predict`; the views are not looked at. By class logits, the scores are
        the mean probabilities of the segmentation classes over the region; by a dense head's logits, the softmax of
        their mean within the group, which is the normalised geometric mean of the pixels' probabilities.
        """
        return [self._score(*item) for item in zip(regions, region_maps, originals)]

    def _score(self, regions: InstanceData, region_map: Tensor, maps: Maps) -> Tensor:
        allowed = self.allowed[regions.labels]
        if self.source == 'logits':
            of_fine = maps.class_probs[0, list(self.taxonomy.class_of_fine)]
            means = region_means(region_map, regions.ids, of_fine)
            return F.normalize(means * allowed, p=1, dim=1)
        means = region_means(region_map, regions.ids, maps[self.source][0])
        if means.shape[1] != allowed.shape[1]:
            raise ValueError(
                f'region_names={self.source!r} has {means.shape[1]} channels; regions are named by a channel for each '
                f'of the {allowed.shape[1]} fine classes'
            )
        if self.condition == 'soft':
            return means.exp() * regions.group_probs[:, list(self.taxonomy.group_of_fine)]
        return means.masked_fill(~allowed, -float('inf')).softmax(1)

    def predict_windows(
        self, picture: Tensor, prepare: Callable, maps: Maps, regions: InstanceData, region_map: Tensor
    ) -> Tensor:
        """Scores (R, K) of regions of a very large picture; arguments as of :meth:`FineBranch.predict_windows`."""
        return self._score(regions, region_map, maps)

    def require_windows(self) -> None:
        """Raise ValueError if the names are those of the segmentation, which need its probabilities."""
        if self.source == 'logits':
            raise ValueError(
                'test_cfg.keep_logits=False leaves no class probabilities of the picture, which names without a fine '
                'branch need: set keep_logits=True, or add crop_neck and fine_head, or a FineMapHead and region_names'
            )


def require_own_classes(taxonomy: Taxonomy) -> None:
    """Raise TaxonomyError unless each fine class is a segmentation class of its own, in its group."""
    own = taxonomy.class_of_fine
    if -1 in own or len(set(own)) < len(own):
        raise TaxonomyError(
            'test_cfg.vote, and names without a fine branch, need a segmentation class for each fine class, of the '
            f'same name and in its group; classes are {list(taxonomy.classes)}, fine classes '
            f'{list(taxonomy.fine_classes)}'
        )
