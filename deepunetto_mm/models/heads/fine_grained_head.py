"""Cones: name the specific class of a crop within its generic one."""

from typing import Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor, nn

from deepunetto_mm.models.heads.naming import CONDITIONS, allowed_names, condition_scores, pool_last
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy

LOSS_SCOPES = ('group', 'flat')


@MODELS.register_module()
class FineGrainedHead(BaseModule):
    """Classify regions among the fine classes that their group allows.

    Args:
        taxonomy: The taxonomy or its dict.
        in_channels: Channels of the last feature map of the fine backbone; it is averaged over its pixels.
        classifier: ``'linear'``, or ``'cosine'`` for the scaled cosine between features and class vectors.
        scale: Factor of the cosine (its softmax would be almost uniform without).
        dropout_ratio: Dropout before the classifier.
        loss_scope: ``'group'``: cross-entropy over the children of the region's group; ``'flat'``: over all fine
            classes.
        condition: How a region is named. ``'hard'``: among the children of the predicted group. ``'soft'``: the score
            of a class is its probability within its group times the group's probability in the region. ``'flat'``:
            among all fine classes, the group then follows from the name.
        class_weight: Weight of each fine class in the loss, K numbers.
        class_counts: Number of training regions of each fine class, K numbers, for logit adjustment.
        adjustment: Strength τ of logit adjustment (Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021):
            τ·log of the class's share is added to the logits in training. 0 is off.
        label_smoothing: Share of the target spread evenly over the classes that compete.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If an option is unknown, or a list has not one number a fine class.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        in_channels: int,
        classifier: str = 'linear',
        scale: float = 16.0,
        dropout_ratio: float = 0.0,
        loss_scope: str = 'group',
        condition: str = 'hard',
        class_weight: Optional[Sequence[float]] = None,
        class_counts: Optional[Sequence[int]] = None,
        adjustment: float = 0.0,
        label_smoothing: float = 0.0,
        loss_weight: float = 1.0,
        init_cfg: Optional[dict] = dict(type='Normal', layer='Linear', std=0.01),
    ) -> None:
        super().__init__(init_cfg)
        self.taxonomy = Taxonomy.from_dict(taxonomy)
        self.num_classes = len(self.taxonomy.fine_classes)
        for name, value, options in (
            ('classifier', classifier, ('linear', 'cosine')),
            ('loss_scope', loss_scope, LOSS_SCOPES),
            ('condition', condition, CONDITIONS),
        ):
            if value not in options:
                raise ValueError(f'{name} must be one of {options}, got {value!r}')
        for name, numbers in (('class_weight', class_weight), ('class_counts', class_counts)):
            if numbers is not None and len(numbers) != self.num_classes:
                raise ValueError(
                    f'{name} needs a number for each of the {self.num_classes} fine classes '
                    f'{list(self.taxonomy.fine_classes)}, got {len(numbers)}'
                )
        if adjustment and (class_counts is None or min(class_counts) < 1):
            raise ValueError(f'adjustment needs class_counts of at least 1 for every fine class, got {class_counts}')
        self.in_channels = in_channels
        self.classifier = classifier
        self.scale = scale
        self.loss_scope = loss_scope
        self.condition = condition
        self.label_smoothing = label_smoothing
        self.loss_weight = loss_weight
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc = nn.Linear(in_channels, self.num_classes, bias=classifier == 'linear')

        weight = (
            torch.ones(self.num_classes) if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        )
        prior = torch.zeros(self.num_classes)
        if adjustment and class_counts is not None:
            counts = torch.tensor(class_counts, dtype=torch.float32)
            prior = adjustment * (counts / counts.sum()).log()
        # Options of the config, not knowledge: they stay out of the checkpoint.
        self.register_buffer('allowed', allowed_names(self.taxonomy), persistent=False)
        self.register_buffer('class_weight', weight, persistent=False)
        self.register_buffer('prior', prior, persistent=False)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the fine backbone's feature maps, of which the last, (R, C, h, w) or (R, C), is used."""
        x = self.dropout(pool_last(feats))
        if self.classifier == 'cosine':
            return self.scale * F.linear(F.normalize(x, dim=1), F.normalize(self.fc.weight, dim=1))
        return self.fc(x)

    def loss(self, feats: Sequence[Tensor], labels: Tensor, fine_labels: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy of the annotated regions.

        Args:
            feats: Feature maps of R regions; R may be 0.
            labels: (R,) group.
            fine_labels: (R,) fine class, -1 where it is not annotated: no loss.

        Returns:
            ``loss_cls``, the weighted mean over the annotated regions, and ``acc`` in percent; both 0 without any, and
            then still connected to every parameter, as DistributedDataParallel demands. With several processes each has
            its share of the mean over the regions of all, so that a region weighs the same wherever it is.
        """
        logits = self.forward(feats).float()
        annotated = fine_labels >= 0
        target = fine_labels.clamp(min=0)
        competing = self._competing(labels) if self.loss_scope == 'group' else torch.ones_like(logits, dtype=torch.bool)
        logits = logits.masked_fill(~competing, -1e4)  # not -inf, whose gradient with smoothing is NaN
        log_probs = (logits + self.prior).log_softmax(1)
        loss = -log_probs.gather(1, target[:, None])[:, 0]
        if self.label_smoothing:
            uniform = -(log_probs * competing).sum(1) / competing.sum(1)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * uniform
        weight = self.class_weight[target] * annotated
        # The weights' sum, not their number, divides: equal losses then give that loss. Gradients are averaged over the
        # processes: their regions together make the mean only if each divides by the mean of these sums.
        total = weight.sum()
        all_reduce(total, 'mean')
        mean = (loss * weight).sum() / total.clamp(min=1e-6)  # an empty mean would be NaN
        hits = ((logits.argmax(1) == fine_labels) & annotated).sum()
        return dict(loss_cls=self.loss_weight * mean, acc=100.0 * hits / annotated.sum().clamp(min=1))

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
        return condition_scores(self.forward(feats), labels, group_probs, self.allowed, self.condition)

    def _competing(self, labels: Tensor) -> Tensor:
        return self.allowed[labels]
