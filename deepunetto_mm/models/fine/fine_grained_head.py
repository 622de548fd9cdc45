"""The name of a crop: its specific class within its generic one."""

from typing import Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunetto_mm.models.fine.fine_head import FineHead, pool_last
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy

LOSS_SCOPES = ('group', 'flat')


@MODELS.register_module()
class FineGrainedHead(FineHead):
    """Classify regions among the fine classes that their group allows.

    Args:
        taxonomy: The taxonomy or its dict.
        in_channels: Channels of the last feature map of the fine backbone; it is averaged over its pixels.
        classifier: ``'linear'``, or ``'cosine'`` for the scaled cosine between features and class vectors.
        scale: Factor of the cosine (its softmax would be almost uniform without).
        dropout_ratio: Dropout before the classifier.
        loss_scope: ``'group'``: cross-entropy over the children of the region's group; ``'flat'``: over all fine
            classes.
        condition, loss_weight, temperature: As in :class:`FineHead`.
        class_weight: Weight of each fine class in the loss, K numbers.
        class_counts: Number of training regions of each fine class, K numbers, for logit adjustment.
        adjustment: Strength τ of logit adjustment (Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021):
            τ·log of the class's share is added to the logits in training. 0 is off.
        label_smoothing: Share of the target spread evenly over the classes that compete.

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
        temperature: float = 1.0,
        init_cfg: Optional[dict] = dict(type='Normal', layer='Linear', std=0.01),
    ) -> None:
        super().__init__(taxonomy, condition, loss_weight, init_cfg, temperature)
        for name, value, options in (
            ('classifier', classifier, ('linear', 'cosine')),
            ('loss_scope', loss_scope, LOSS_SCOPES),
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
        self.label_smoothing = label_smoothing
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
        self.register_buffer('class_weight', weight, persistent=False)
        self.register_buffer('prior', prior, persistent=False)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the fine backbone's feature maps, of which the last, (R, C, h, w) or (R, C), is used."""
        x = self.dropout(pool_last(feats))
        if self.classifier == 'cosine':
            return self.scale * F.linear(F.normalize(x, dim=1), F.normalize(self.fc.weight, dim=1))
        return self.fc(x)

    def region_losses(self, logits: Tensor, labels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy and class weight of each region; arguments and result as in :class:`FineHead`."""
        competing = self.allowed[labels] if self.loss_scope == 'group' else torch.ones_like(logits, dtype=torch.bool)
        logits = logits.masked_fill(~competing, -1e4)  # not -inf, whose gradient with smoothing is NaN
        log_probs = (logits + self.prior).log_softmax(1)
        losses = -log_probs.gather(1, target[:, None])[:, 0]
        if self.label_smoothing:
            uniform = -(log_probs * competing).sum(1) / competing.sum(1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * uniform
        return losses, self.class_weight[target]
