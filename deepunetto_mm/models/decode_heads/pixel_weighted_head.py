"""Decode heads whose cross entropy can weight each pixel."""

from typing import Any, Optional

import torch
from mmengine.utils import digit_version
from mmseg import __version__ as mmseg_version
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss, accuracy, cross_entropy_loss
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn import functional as F

_plain_cross_entropy = cross_entropy_loss.cross_entropy


class PixelWeightedHead(BaseDecodeHead):
    """mmseg's base of decode heads, with losses that are weighted if data samples have a ``gt_weight_map``.

    The losses of a batch without weights are mmseg's own. With weights, each ``CrossEntropyLoss`` of ``loss_decode``
    is the mean of weight times loss over as many pixels as without (with ``avg_non_ignore=True``: over those that
    are not ignored), and so is a loss with ``weights_pixels = True``, such as this package's ``FocalLoss``. Weights of
    1 change nothing. Other losses, such as Dice, are not sums over pixels and are unchanged. A pixel sampler's choice
    and the weights are multiplied.

    A head that compares its logits with a part of the label map crops the maps of :func:`pixel_maps`. Heads of mmseg
    without their own ``loss_by_feat`` only need ``class WeightedFCNHead(PixelWeightedHead, FCNHead)``, registered.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses and accuracy of a batch.

        Args:
            seg_logits: (N, out_channels, h, w), resized to the label maps.
            batch_data_samples: With ``gt_sem_seg`` (1, H, W), and all or none of them with ``gt_weight_map``.

        Returns:
            As in mmseg's heads: each loss by its name, and ``acc_seg``.

        Raises:
            ValueError: If only some samples have weights, or no loss supports them.
        """
        batch = [pixel_maps(sample) for sample in batch_data_samples]
        weighted = sum('gt_weight_map' in maps for maps in batch)
        if not weighted:
            return super().loss_by_feat(seg_logits, batch_data_samples)
        if weighted < len(batch):
            raise ValueError(
                f'{weighted} of {len(batch)} data samples have a gt_weight_map; put deepunetto_mm.AddBorderWeights in '
                'the pipelines of all datasets or of none'
            )
        losses: list[Any] = (
            list(self.loss_decode) if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]
        )
        if not any(map(_weights_pixels, losses)):
            raise ValueError(
                'the data samples have a gt_weight_map, but no loss of loss_decode weights pixels: '
                f'{[type(loss).__name__ for loss in losses]}; add a CrossEntropyLoss or deepunetto_mm.FocalLoss, or '
                'remove AddBorderWeights'
            )
        label, weight = (torch.stack([maps[key] for maps in batch]) for key in ('gt_sem_seg', 'gt_weight_map'))
        seg_logits = resize(seg_logits, size=label.shape[2:], mode='bilinear', align_corners=self.align_corners)
        sampled = None if self.sampler is None else self.sampler.sample(seg_logits, label)
        label, weight = label.squeeze(1), weight.squeeze(1)
        if sampled is not None:
            weight = weight * sampled
        result: dict[str, Tensor] = {}
        for loss in losses:
            own = weight if _weights_pixels(loss) else sampled
            value = loss(seg_logits, label, weight=own, ignore_index=self.ignore_index)
            result[loss.loss_name] = result[loss.loss_name] + value if loss.loss_name in result else value
        result['acc_seg'] = accuracy(seg_logits, label, ignore_index=self.ignore_index)
        return result


def _weights_pixels(loss: Any) -> bool:
    return isinstance(loss, CrossEntropyLoss) or getattr(loss, 'weights_pixels', False)


def pixel_maps(sample: SegDataSample) -> dict[str, Tensor]:
    """The maps of a data sample for a loss over pixels, all of the size of the label map.

    mmseg pads the pictures and label maps of a batch to one size, at the right and at the bottom, but not
    weights: they are padded here, with 0.

    Returns:
        ``gt_sem_seg`` (1, H, W), and ``gt_weight_map`` (1, H, W) if the sample has one.

    Raises:
        ValueError: If the weight map is larger than the label map.
    """
    maps = dict(gt_sem_seg=sample.gt_sem_seg.data)
    if 'gt_weight_map' in sample:
        label, weight = maps['gt_sem_seg'], sample.gt_weight_map.data
        below, beside = (have - want for have, want in zip(label.shape[-2:], weight.shape[-2:]))
        if below < 0 or beside < 0:
            raise ValueError(
                f'gt_weight_map is {tuple(weight.shape[-2:])}, larger than the label map {tuple(label.shape[-2:])}; '
                'transforms that crop a sample must crop both'
            )
        maps['gt_weight_map'] = F.pad(weight, (0, beside, 0, below))
    return maps


def fix_class_weights() -> None:
    """Make mmsegmentation's cross entropy leave ignored pixels out of the class weights that it sums.

    Up to 1.2.2 it also looks up the weight of their label, 255, and fails. The sum is that of the OneDL line.
    """
    if digit_version(mmseg_version) <= digit_version('1.2.2'):
        cross_entropy_loss.cross_entropy = _cross_entropy


def _cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Optional[Tensor] = None,
    class_weight: Optional[Tensor] = None,
    reduction: str = 'mean',
    avg_factor: Any = None,
    ignore_index: int = -100,
    avg_non_ignore: bool = False,
) -> Tensor:
    if class_weight is not None and reduction == 'mean' and avg_factor is None:
        avg_factor = class_weight[label[label != ignore_index]].sum()
    return _plain_cross_entropy(pred, label, weight, class_weight, reduction, avg_factor, ignore_index, avg_non_ignore)


fix_class_weights()  # of the cross entropy that heads use by default
