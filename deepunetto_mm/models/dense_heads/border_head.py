"""Borders between touching objects, as a map."""

from typing import Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.dense_heads.dense_head import DenseHead
from deepunetto_mm.ops import share_of_mean, without_padding
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.frames import given_regions
from deepunetto_mm.structures.maps import resize_map


@MODELS.register_module()
class BorderHead(DenseHead):
    """Paint where two objects touch or almost touch, for :class:`BorderWatershed`.

    The U-Net paper (Ronneberger et al., MICCAI 2015) separates touching cells by a gap that is drawn into the mask, and
    whose pixels have a high weight in the loss. Here the mask keeps its pixels, and the gap is a map of its own: a
    pixel is *border* if two regions lie within ``radius`` of it. The paper's weight falls with the distance to the two
    nearest regions; here it is constant on the border, for which no distances are needed.

    Args:
        in_channels: Channels of the decoder's last features.
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
        channels: Width of the hidden layer.
        radius: Half the width of a border, in pixels of the input, by rows and columns: two regions that touch
            have a border of ``2 * radius`` pixels between them.
        border_weight: Weight of a border pixel in the loss; other pixels of regions have 1.
        norm_cfg: Normalisation of the hidden layer.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If there is no taxonomy, or ``radius`` or ``border_weight`` is out of range.
    """

    kinds = {'logits': 'logits'}

    def __init__(
        self,
        in_channels: int,
        taxonomy: Optional[Union[dict, Taxonomy]] = None,
        channels: int = 32,
        radius: int = 2,
        border_weight: float = 10.0,
        norm_cfg: dict = dict(type='BN'),
        loss_weight: float = 1.0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(taxonomy, init_cfg)
        if taxonomy is None:
            raise ValueError('BorderHead needs the taxonomy, whose groups are the objects: give the model one')
        if radius < 1 or border_weight <= 0:
            raise ValueError(
                f'BorderHead: radius must be at least 1 and border_weight above 0, got {radius} and {border_weight}'
            )
        self.radius = radius
        self.border_weight = border_weight
        self.loss_weight = loss_weight
        self.hidden = ConvModule(in_channels, channels, 3, padding=1, norm_cfg=norm_cfg)
        self.classifier = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """``'logits'``: (N, 1, h, w), whose sigmoid is the probability of a border; arguments of :class:`DenseHead`."""
        return dict(logits=self.classifier(self.hidden(features)).float())

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """``loss_border``: the weighted mean of the binary cross entropy over borders and regions of all processes.

        Elsewhere nothing is cut, and the many pixels of the background would drown the few of the borders.

        Args:
            maps: As :meth:`forward` returned them.
            data_samples: With ``gt_sem_seg``, ``gt_region_map`` and ``gt_regions``, in the frame of the inputs.
        """
        classes = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        size = classes.shape[1:]
        region_maps = given_regions(data_samples, size)[1]
        target = touching(region_maps, self.radius).float()
        weight = torch.where(target > 0, self.border_weight, without_padding(region_maps).clamp(max=1).float())
        weight = weight * (classes != self.taxonomy.ignore_index)
        logits = resize_map(maps['logits'], size, 'logits', self.align_corners)[:, 0]
        total = (weight * F.binary_cross_entropy_with_logits(logits, target, reduction='none')).sum()
        return dict(loss_border=self.loss_weight * share_of_mean(total, weight.sum()))


def touching(region_maps: Tensor, radius: int) -> Tensor:
    """Where two regions lie within ``radius`` rows and columns of a pixel, (N, H, W) bool.

    Args:
        region_maps: (N, H, W) integers below 2**24, 0 for no region; 255, the padding, is no region either.
        radius: In pixels.
    """
    ids = without_padding(region_maps).float()  # which holds them exactly

    def largest(values: Tensor) -> Tensor:
        return F.max_pool2d(values[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]

    nothing = float(2**24)
    smallest = -largest(-torch.where(ids > 0, ids, nothing))
    return (smallest < nothing) & (smallest != largest(ids))
