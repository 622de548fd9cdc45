"""What a fine head is: the contract of the fine branch with it, and what all of them share."""

from typing import Optional, Sequence, Union

import torch
from mmengine.model import BaseModule
from torch import Tensor

from deepunetto_mm.ops import share_of_mean
from deepunetto_mm.structures import Taxonomy

CONDITIONS = ('hard', 'soft', 'flat')


class FineHead(BaseModule):
    """Base of heads that name regions among the fine classes that their group allows.

    A head of your own is its :meth:`forward`, and perhaps its :meth:`region_losses`. :class:`FineBranch` calls
    :meth:`loss` and :meth:`predict`, always, also for R = 0 regions: a process that skipped them would leave the others
    of a distributed run waiting.

    Args:
        taxonomy: The taxonomy or its dict.
        condition: How a region is named. ``'hard'``: among the fine classes of the predicted group. ``'soft'``: the
            score of a class is its probability within its group times the group's probability in the region.
            ``'flat'``: among all fine classes, and the group follows from the name.
        loss_weight: Factor of the loss.
        temperature: The logits are divided by it in predictions. Above 1, a head that is more confident than accurate
            counts less beside a map of names.

    Raises:
        ValueError: If the condition is unknown, or the temperature not above 0.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        condition: str = 'hard',
        loss_weight: float = 1.0,
        init_cfg: Optional[dict] = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(init_cfg)
        self.taxonomy = Taxonomy.from_dict(taxonomy)
        self.num_classes = len(self.taxonomy.fine_classes)
        if condition not in CONDITIONS:
            raise ValueError(f'condition must be one of {CONDITIONS}, got {condition!r}')
        if temperature <= 0:
            raise ValueError(f'temperature must be above 0, got {temperature}')
        self.condition = condition
        self.loss_weight = loss_weight
        self.temperature = temperature
        # An option of the config, not knowledge: it stays out of the checkpoint.
        self.register_buffer('allowed', allowed_names(self.taxonomy), persistent=False)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the fine classes.

        Args:
            feats: Feature maps of R regions, of which most heads read the last, (R, C, h, w) or (R, C):
                :func:`pool_last`.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a forward')

    def region_losses(self, logits: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and weight of each region.

        Args:
            logits: (R, K) float32.
            labels: (R,) group.
            target: (R,) fine class.

        Returns:
            Two tensors (R,): the losses, by default the cross entropy over the fine classes of the region's group, and
            the weights, by default 1.
        """
        logits = logits.masked_fill(~self.allowed[labels], -1e4)
        return -logits.log_softmax(1).gather(1, target[:, None])[:, 0], torch.ones_like(logits[:, 0])

    def loss(self, feats: Sequence[Tensor], labels: Tensor, fine_labels: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy of the annotated regions.

        Args:
            feats: Feature maps of R regions; R may be 0.
            labels: (R,) group.
            fine_labels: (R,) fine class, -1 where it is not annotated: no loss.

        Returns:
            ``loss_cls``, the weighted mean over the annotated regions of all processes (:func:`share_of_mean`), and
            ``acc`` in percent, among the fine classes that the region's group allows. Both are 0 without any annotated
            region, and then still connected to every parameter.
        """
        logits = self.forward(feats).float()
        annotated = fine_labels >= 0
        losses, weights = self.region_losses(logits, labels, fine_labels.clamp(min=0))
        weights = weights * annotated
        mean = share_of_mean((losses * weights).sum(), weights.sum())
        return dict(loss_cls=self.loss_weight * mean, acc=self.accuracy(logits, labels, fine_labels))

    def accuracy(self, logits: Tensor, labels: Tensor, fine_labels: Tensor) -> Tensor:
        """Annotated regions that get the right name, in percent; 0 if no region is annotated."""
        annotated = fine_labels >= 0
        if self.condition != 'flat':
            logits = logits.masked_fill(~self.allowed[labels], -torch.inf)
        hits = ((logits.argmax(1) == fine_labels) & annotated).sum()
        return 100.0 * hits / annotated.sum().clamp(min=1)

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], labels: Tensor, group_probs: Tensor) -> Tensor:
        """Scores of the fine classes.

        Args:
            feats: Feature maps of R regions.
            labels: (R,) predicted group.
            group_probs: (R, G) mean probability of each group over the region; used by ``condition='soft'``.

        Returns:
            (R, K) float32; rows sum to 1, or with ``'soft'`` to the probability that the region is of any group.
        """
        logits = self.forward(feats) / self.temperature
        return condition_scores(logits, labels, group_probs, self.allowed, self.condition)


def pool_last(feats: Sequence[Tensor]) -> Tensor:
    """The last feature map, (R, C, h, w) or (R, C), averaged over its pixels: (R, C)."""
    x = feats[-1]
    return x.mean((2, 3)) if x.dim() == 4 else x


def allowed_names(taxonomy: Taxonomy) -> Tensor:
    """Which fine classes each group allows, (G, K) bool."""
    return torch.tensor(taxonomy.group_of_fine)[None] == torch.arange(len(taxonomy.groups))[:, None]


def condition_scores(logits: Tensor, labels: Tensor, group_probs: Tensor, allowed: Tensor, condition: str) -> Tensor:
    """Scores of the fine classes, by what is known of the group.

    Args:
        logits: (R, K) of the fine classes.
        labels: (R,) the group of each region.
        group_probs: (R, G) probability of each group; used by ``'soft'``.
        allowed: (G, K) bool, the fine classes that each group allows.
        condition: As in :class:`FineHead`.

    Returns:
        (R, K) float32; rows sum to 1, or with ``'soft'`` to the sum of ``group_probs``.
    """
    logits = logits.float()
    if condition == 'flat':
        return logits.softmax(1)
    if condition == 'hard':
        return logits.masked_fill(~allowed[labels], -torch.inf).softmax(1)
    # Not written into the columns of each group, which ONNX cannot.
    within = [logits.masked_fill(~own, -torch.inf).softmax(1) for own in allowed]
    return sum((x * group_probs[:, g, None] for g, x in enumerate(within)), torch.zeros_like(logits))
