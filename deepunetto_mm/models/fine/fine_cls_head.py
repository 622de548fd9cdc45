"""mmpretrain's classification heads as fine heads."""

from typing import Optional, Sequence, Union

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from deepunetto_mm.models.fine.fine_head import FineHead, pool_last
from deepunetto_mm.ops import share_of_mean
from deepunetto_mm.ops.empty_batch import fixed_statistics, run_on_crops
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy, TaxonomyError


@MODELS.register_module()
class FineClsHead(FineHead):
    """Name regions by a classification head of mmpretrain: ``LinearClsHead``, ``ArcFaceClsHead``, a user's own.

    ::

        fine_head=dict(
            type='deepunetto_mm.FineClsHead', head=dict(type='ArcFaceClsHead', in_channels=256, scale=16.0)
        )

    In training all fine classes compete, whatever the region's group, since the head has its own loss; the group
    decides on the names alone, by ``condition``.

    Args:
        taxonomy: The taxonomy or its dict.
        head: Config of the head, with types of mmpretrain; ``num_classes`` is the number of fine classes by default.
            Its ``forward`` takes features (R, C), averaged over the pixels, and gives logits (R, K).
        condition: As in :class:`FineHead`.

    Raises:
        TaxonomyError: If the head has another number of classes than there are fine classes.
        ValueError: If the condition is unknown, or its loss has another number of class weights.
    """

    def __init__(
        self, taxonomy: Union[dict, Taxonomy], head: dict, condition: str = 'hard', init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(taxonomy, condition, init_cfg=init_cfg)
        # Its scope, or else the loss that the head asks for by default would be mmseg's of that name.
        self.head = MODELS.build({'_scope_': 'mmpretrain', 'num_classes': self.num_classes, **head})
        if self.head.num_classes != self.num_classes:
            raise TaxonomyError(
                f'{type(self.head).__name__} has num_classes={self.head.num_classes}, but the taxonomy has '
                f'{self.num_classes} fine classes: {list(self.taxonomy.fine_classes)}; leave num_classes out'
            )
        weights = getattr(getattr(self.head, 'loss_module', None), 'class_weight', None)
        if weights is not None and len(weights) != self.num_classes:
            raise ValueError(
                f'class_weight of {type(self.head).__name__} needs a number for each of the {self.num_classes} fine '
                f'classes {list(self.taxonomy.fine_classes)}, got {len(weights)}'
            )

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the fine backbone's feature maps, of which the last, (R, C, h, w) or (R, C), is used."""
        return self.head((pool_last(feats),))

    def loss(self, feats: Sequence[Tensor], labels: Tensor, fine_labels: Tensor) -> dict[str, Tensor]:
        """The sum of the head's own losses over the annotated regions; arguments and result as in :class:`FineHead`."""
        annotated = fine_labels >= 0
        x, target = pool_last(feats)[annotated], fine_labels[annotated]
        number = annotated.sum().float()

        def own_loss(x: Tensor) -> list[Tensor]:
            if not len(target):  # the head's own mean over no region would be NaN
                return [self.head((x,))]
            losses = self.head.loss((x,), [DataSample().set_gt_label(label) for label in target.split(1)])
            return [sum(value for name, value in losses.items() if 'loss' in name)]

        mean = run_on_crops(own_loss, x, self.head)[0].sum()
        with torch.no_grad(), fixed_statistics(self.head):  # a batch norm counts the batch once
            acc = self.accuracy(self.head((x,)), labels[annotated], target)
        return dict(loss_cls=share_of_mean(mean * number, number), acc=acc)
