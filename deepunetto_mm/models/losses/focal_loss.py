"""Focal loss over pixels, without compiled operators."""

from typing import Optional, Sequence

import torch
from torch import Tensor, nn

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class FocalLoss(nn.Module):
    """Cross entropy with a lower weight for pixels of which the network is sure: (1 − p)^γ · CE.

    Lin et al., *Focal Loss for Dense Object Detection* (ICCV 2017), with a softmax over the classes, for any of mmseg's
    decode heads. mmseg's loss of the same name uses sigmoids, needs compiled operators on a GPU, and on a CPU fails for
    more than one class.

    Args:
        gamma: Strength γ, at least 0; 0 is cross entropy.
        class_weight: Weight of each class.
        loss_weight: Factor of the loss.
        loss_name: Its key among the losses; must begin with ``loss_`` to be part of the total loss.

    Raises:
        ValueError: If ``gamma`` is negative.
    """

    weights_pixels = True  # a PixelWeightedHead may give it weights
    class_weight: Optional[Tensor]

    def __init__(
        self,
        gamma: float = 2.0,
        class_weight: Optional[Sequence[float]] = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f'gamma must be at least 0, got {gamma}')
        self.gamma = gamma
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(
        self, logits: Tensor, label: Tensor, weight: Optional[Tensor] = None, ignore_index: int = 255
    ) -> Tensor:
        """Mean over the pixels that are not ignored; 0 if all are.

        Args:
            logits: (N, C, H, W); one channel is the logit of the second of two classes.
            label: (N, H, W) int64.
            weight: (N, H, W) of the pixels, such as a sampler's choice.
            ignore_index: Label of the pixels that are not counted.
        """
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        log_probs = logits.float().log_softmax(1)
        counted = label != ignore_index
        target = label.masked_fill(~counted, 0)
        log_prob = log_probs.gather(1, target[:, None])[:, 0]
        # The floor keeps the gradient finite if p is 1 and γ below 1.
        loss = -((-torch.expm1(log_prob)).clamp(min=1e-12) ** self.gamma) * log_prob
        if self.class_weight is not None:
            loss = loss * self.class_weight[target]
        if weight is not None:
            loss = loss * weight
        return self.loss_weight * (loss * counted).sum() / counted.sum().clamp(min=1)
