"""mmpretrain's classification heads where a fine head is asked for."""

from typing import Optional, Sequence, Union

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor

from deepunetto_mm.models.heads.naming import CONDITIONS, allowed_names, condition_scores, pool_last
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy, TaxonomyError


@MODELS.register_module()
class FineClsHead(BaseModule):
    """Name regions by a classification head of mmpretrain: ``LinearClsHead``, ``ArcFaceClsHead``, a user's own.

    ::

        fine_head=dict(
            type='deepunetto_mm.FineClsHead', head=dict(type='ArcFaceClsHead', in_channels=256, scale=16.0)
        )

    It has the methods of :class:`FineGrainedHead`. In training all fine classes compete, whatever the region's group,
    since the head has its own loss; the group bears on the names alone, by ``condition``.

    Args:
        taxonomy: The taxonomy or its dict.
        head: Config of the head, with types of mmpretrain; ``num_classes`` is the number of fine classes by default.
            Its ``forward`` takes features (R, C), averaged over the pixels, and gives logits (R, K).
        condition: As in :class:`FineGrainedHead`.

    Raises:
        TaxonomyError: If the head tells another number of classes apart than there are fine classes.
        ValueError: If the condition is unknown.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        head: dict,
        condition: str = 'hard',
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.taxonomy = Taxonomy.from_dict(taxonomy)
        if condition not in CONDITIONS:
            raise ValueError(f'condition must be one of {CONDITIONS}, got {condition!r}')
        num_fine = len(self.taxonomy.fine_classes)
        # Its scope, or else the loss that the head asks for by default would be mmseg's of that name.
        self.head = MODELS.build({'_scope_': 'mmpretrain', 'num_classes': num_fine, **head})
        if self.head.num_classes != num_fine:
            raise TaxonomyError(
                f'{type(self.head).__name__} has num_classes={self.head.num_classes}, but the taxonomy has {num_fine} '
                f'fine classes: {list(self.taxonomy.fine_classes)}; leave num_classes out'
            )
        self.condition = condition
        self.register_buffer('allowed', allowed_names(self.taxonomy), persistent=False)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the fine backbone's feature maps, of which the last, (R, C, h, w) or (R, C), is used."""
        return self.head((pool_last(feats),))

    def loss(self, feats: Sequence[Tensor], labels: Tensor, fine_labels: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy of the annotated regions.

        Args:
            feats: Feature maps of R regions; R may be 0.
            labels: (R,) group.
            fine_labels: (R,) fine class, -1 where it is not annotated: no loss.

        Returns:
            ``loss_cls``, the sum of the head's losses, and ``acc`` in percent; both 0 without any annotated region, and
            then still connected to every parameter. With several processes each has its share of the mean over the
            regions of all, as in :class:`FineGrainedHead`.
        """
        annotated = fine_labels >= 0
        x, target = pool_last(feats)[annotated], fine_labels[annotated]
        number = annotated.sum().float()
        mean_number = number.clone()
        all_reduce(mean_number, 'mean')
        if not len(target):
            # The head's own mean over no region would be NaN.
            return dict(loss_cls=self.head((x,)).sum(), acc=number)
        losses = self.head.loss((x,), [DataSample().set_gt_label(label) for label in target.split(1)])
        total = sum(value for name, value in losses.items() if 'loss' in name)
        with torch.no_grad():
            logits = self.head((x,))
        if self.condition == 'hard':
            logits = logits.masked_fill(~self.allowed[labels[annotated]], -torch.inf)
        hits = (logits.argmax(1) == target).sum()
        return dict(loss_cls=total * number / mean_number, acc=100.0 * hits / number)

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], labels: Tensor, group_probs: Tensor) -> Tensor:
        """Scores (R, K) of the fine classes; arguments and result as in :class:`FineGrainedHead`."""
        return condition_scores(self.forward(feats), labels, group_probs, self.allowed, self.condition)
