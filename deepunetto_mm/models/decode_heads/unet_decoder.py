"""The expanding path of a U-Net, for any encoder."""

import itertools
import math
from typing import Any, Optional, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from deepunetto_mm.models.decode_heads.pixel_weighted_head import PixelWeightedHead
from deepunetto_mm.ops import pick_maps
from deepunetto_mm.registry import MODELS

UPSAMPLING = ('bilinear', 'nearest', 'deconv')


@MODELS.register_module()
class UNetDecoder(PixelWeightedHead):
    """Upsample the deepest feature map stage by stage, concatenating the encoder's map of each size.

    The expanding path of Ronneberger et al. (MICCAI 2015), over the feature maps of any backbone.

    ::

        features   s=32 ──up──▶ cat s=16 ─▶ convs ──up──▶ cat s=8 ─▶ convs … ──up──▶ convs (no skip left) ─▶ logits

    Every stage upsamples to exactly the size of its skip, so strides need not double and sizes may be odd: nothing must
    be divisible by 16. Cross entropy weights the pixels if the data samples have weights (:class:`PixelWeightedHead`).

    Args:
        in_channels: Channels of the feature maps, from fine to coarse.
        strides: Their nominal strides, from fine to coarse, such as ``(4, 8, 16, 32)``.
        channels: Width of each stage, from coarse to fine; one for each skip and each further doubling down to
            ``out_stride``.
        out_stride: Stride of the logits: 1, 2 or 4. Finer feature maps are not used; if the finest map is coarser,
            stages without a skip are added. mmseg resizes the logits to the label map, in loss and prediction.
        upsample: ``'bilinear'`` or ``'nearest'`` interpolation, or ``'deconv'``, a transposed 2x2 convolution.
        convs_per_stage: Number of 3x3 convolutions of a stage.
        scse: Append concurrent spatial and channel squeeze and excitation (Roy et al., MICCAI 2018) to each stage.
        in_index: Which of the backbone's outputs are used; by default all, in order.
        norm_cfg: Normalisation of the convolutions.
        kwargs: Options of mmseg's ``BaseDecodeHead``: num_classes, dropout_ratio, loss_decode (one or several), ...

    Raises:
        ValueError: If the numbers of channels, strides and stages do not match.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        strides: Sequence[int],
        channels: Sequence[int],
        out_stride: int = 1,
        upsample: str = 'bilinear',
        convs_per_stage: int = 2,
        scse: bool = False,
        in_index: Optional[Sequence[int]] = None,
        norm_cfg: Optional[dict] = dict(type='BN'),
        **kwargs: Any,
    ) -> None:
        if len(in_channels) != len(strides):
            raise ValueError(f'{len(in_channels)} in_channels but {len(strides)} strides')
        if any(a >= b for a, b in itertools.pairwise(strides)):
            raise ValueError(f'strides must grow from fine to coarse, got {tuple(strides)}')
        if out_stride not in (1, 2, 4):
            raise ValueError(f'out_stride must be 1, 2 or 4, got {out_stride}')
        if upsample not in UPSAMPLING:
            raise ValueError(f'upsample must be one of {UPSAMPLING}, got {upsample!r}')
        index = list(range(len(strides)) if in_index is None else in_index)
        if len(index) != len(strides):
            raise ValueError(f'{len(strides)} strides but in_index {index}')
        used = [i for i, stride in enumerate(strides) if stride >= out_stride]
        if not used:
            raise ValueError(f'out_stride {out_stride} is coarser than every feature map; strides are {tuple(strides)}')
        finest = strides[used[0]]
        doublings = math.log2(finest / out_stride)
        if doublings != int(doublings):
            raise ValueError(f'out_stride {out_stride} is not reached from stride {finest} by doubling')
        stages = len(used) - 1 + int(doublings)
        if len(channels) != stages or not stages:
            raise ValueError(
                f'channels needs a width for each of {stages} stages ({len(used) - 1} with a skip, {int(doublings)} '
                f'without) from stride {strides[-1]} to {out_stride}, got {list(channels)}'
            )
        super().__init__(
            in_channels=[in_channels[i] for i in used],
            in_index=[index[i] for i in used],
            channels=channels[-1],
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            **kwargs,
        )
        widths = [self.in_channels[-1], *channels]
        skips = [*self.in_channels[-2::-1], *[0] * int(doublings)]
        conv = dict(padding=1, conv_cfg=self.conv_cfg, norm_cfg=norm_cfg, act_cfg=self.act_cfg)
        self.stages = nn.ModuleList(
            UNetStage(below, skip, width, upsample, convs_per_stage, scse, self.align_corners, conv)
            for below, skip, width in zip(widths, skips, channels)
        )

    def forward_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Feature map before the classifier, (N, channels[-1], H/out_stride, W/out_stride)."""
        feats = pick_maps(inputs, self.in_index, self.in_channels, type(self).__name__)
        x, skips = feats[-1], list(feats[-2::-1])
        for i, stage in enumerate(self.stages):
            x = stage(x, skips[i] if i < len(skips) else None)
        return x

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class logits, (N, num_classes, H/out_stride, W/out_stride), of the backbone's feature maps."""
        return self.cls_seg(self.forward_features(inputs))


class UNetStage(nn.Module):
    """One step up: upsample to the skip's size, concatenate, convolve.

    Args:
        below: Channels of the coarser map.
        skip: Channels of the encoder's map, 0 for a stage without one.
        width: Channels of the output.
        upsample, convs, scse, align_corners: As of :class:`UNetDecoder`.
        conv: Options of the convolutions.
    """

    def __init__(
        self,
        below: int,
        skip: int,
        width: int,
        upsample: str,
        convs: int,
        scse: bool,
        align_corners: bool,
        conv: dict[str, Any],
    ) -> None:
        super().__init__()
        self.mode = 'bilinear' if upsample == 'deconv' else upsample
        self.align_corners = align_corners if self.mode == 'bilinear' else None
        self.deconv = nn.ConvTranspose2d(below, width, 2, stride=2) if upsample == 'deconv' else None
        first = (width if self.deconv else below) + skip
        self.convs = nn.Sequential(*(ConvModule(first if i == 0 else width, width, 3, **conv) for i in range(convs)))
        self.attention = ScSE(width) if scse else nn.Identity()

    def forward(self, x: Tensor, skip: Optional[Tensor]) -> Tensor:
        """Go one step up.

        Args:
            x: (N, below, h, w), the coarser map.
            skip: (N, skip, H, W), the encoder's map, of any size; None doubles the size of ``x``.

        Returns:
            (N, width, H, W), or (N, width, 2h, 2w) without a skip.
        """
        size = (x.shape[2] * 2, x.shape[3] * 2) if skip is None else skip.shape[2:]
        if self.deconv is not None:
            x = self.deconv(x)
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode=self.mode, align_corners=self.align_corners)
        if skip is not None:
            x = torch.cat([skip, x], dim=1)
        return self.attention(self.convs(x))


class ScSE(nn.Module):
    """Concurrent spatial and channel squeeze and excitation, summed (Roy et al., MICCAI 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels and, separately, the pixels of a map (N, C, H, W), and add the two, (N, C, H, W)."""
        return x * self.channel(x) + x * self.spatial(x)
