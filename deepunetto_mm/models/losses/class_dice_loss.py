"""Dice loss of each class over a batch."""

import torch
from mmengine import dist
from torch import Tensor, nn

from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures.maps import class_probabilities


@MODELS.register_module()
class ClassDiceLoss(nn.Module):
    """1 - Dice of each class, averaged over the classes that the batch contains: a rare class weighs as much as others.

    The soft Dice of Milletari et al., *V-Net* (3DV 2016), with sums over the pixels of the batch: 2·Σpt / (Σp + Σt). A
    small object alone in its picture does not decide the loss of its class. The sums are over all processes: two
    processes compute what one does with the same pictures.

    mmseg's ``DiceLoss`` sums over the classes of a picture as well, where large ones decide; its ``TverskyLoss`` with
    alpha = beta = 0.5 is a loss of each class in each picture, absent classes included.

    Args:
        stride: Only every ``stride``-th row and column is counted; 2 takes a quarter of the time.
        smooth: Pixels that are added to both sums of the quotient.
        loss_weight: Factor of the loss.
        loss_name: Its key among the losses; must begin with ``loss_`` to be part of the total loss.

    Raises:
        ValueError: If ``stride`` is below 1.
    """

    def __init__(
        self, stride: int = 1, smooth: float = 1.0, loss_weight: float = 1.0, loss_name: str = 'loss_dice'
    ) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f'stride must be at least 1, got {stride}')
        self.stride = stride
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, label: Tensor, weight: object = None, ignore_index: int = 255) -> Tensor:
        """Mean over the classes of the batch; 0 if all pixels are ignored.

        Args:
            logits: (N, C, H, W); one channel is the logit of the second of two classes.
            label: (N, H, W) int64.
            weight: Not used: Dice is not a sum over pixels.
            ignore_index: Label of the pixels that are not counted.
        """
        probs = class_probabilities(logits[..., :: self.stride, :: self.stride])
        label = label[:, :: self.stride, :: self.stride]
        counted = label != ignore_index
        target = label[counted]
        classes = probs.shape[1]
        own = probs.gather(1, label.masked_fill(~counted, 0)[:, None])[:, 0][counted]
        both = probs.new_zeros(classes).index_add(0, target, own)
        sums = torch.stack(
            [both, (probs * counted[:, None]).sum((0, 2, 3)), torch.bincount(target, minlength=classes).to(probs)]
        )
        everywhere = sums.detach().clone()
        dist.all_reduce(everywhere, 'sum')
        # The value of all processes; the gradient of this one's part, which they average: hence their number.
        sums = everywhere + dist.get_world_size() * (sums - sums.detach())
        both, painted, present = sums
        dice = (2 * both + self.smooth) / (painted + present + self.smooth)
        is_there = present > 0
        return self.loss_weight * ((1 - dice) * is_there).sum() / is_there.sum().clamp(min=1)
