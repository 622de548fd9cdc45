"""The expansive path of the U-Net of 2015."""

import itertools
import math
from typing import Optional, Sequence, Union

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.decode_heads.pixel_weighted_head import PixelWeightedHead, pixel_maps
from deepunetto_mm.ops import centre_crop
from deepunetto_mm.registry import MODELS
from deepunetto_mm.unet2015.sizes import unet2015_input_size, unet2015_margin


@MODELS.register_module()
class UNet2015Head(PixelWeightedHead):
    """The expansive path of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation" (MICCAI 2015), unpadded as in the paper; for :class:`UNet2015Encoder`.

    ::

        features   28 ─up─▶ 56, cat the centre of 64 ─▶ 54 ─▶ 52 ─up─▶ 104 … 392, cat the centre of 568 ─▶ 390 ─▶ 388

    The logits cover only the centre of the picture, 388 of 572 pixels: the pixels whose whole context is in the input.
    So the loss compares them with the centre of the label map. Nothing is resized, neither in the loss nor in the
    prediction. To predict the border, mirror the picture beyond it: the overlap-tile strategy of the paper.

    As in the paper no activation follows an up-convolution. Weights are initialised as in the encoder.

    Args:
        num_classes: Classes of the label map.
        in_channels: Channels of the encoder's maps, from fine to coarse. Each decoder level has those of its map.
        out_channels, threshold, loss_decode, ignore_index, sampler: As in mmseg's ``BaseDecodeHead``.
        init_cfg: Initialisation by mmengine instead.

    Raises:
        ValueError: In ``forward``, if an encoder's map is smaller than the upsampled one, or larger by an odd number;
            in ``loss``, the same for label map and logits; in ``predict``, if logits of another size are requested.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (64, 128, 256, 512, 1024),
        out_channels: Optional[int] = None,
        threshold: Optional[float] = None,
        loss_decode: Union[dict, Sequence[dict]] = dict(type='mmseg.CrossEntropyLoss'),
        ignore_index: Optional[int] = 255,
        sampler: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            channels=in_channels[0],
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            dropout_ratio=0.0,  # the paper has none here
            loss_decode=loss_decode,
            ignore_index=ignore_index,
            sampler=sampler,
            init_cfg=init_cfg,
        )
        self.stages = nn.ModuleList(
            UNet2015Stage(below, width) for below, width in itertools.pairwise(in_channels[::-1])
        )
        for name, parameter in [*self.stages.named_parameters(), *self.conv_seg.named_parameters()]:
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            else:
                # Windows of an up-convolution (in, out, 2, 2) do not overlap: the input of a unit is one pixel of all
                # channels; torch's Kaiming counts otherwise. A convolution is (out, in, h, w).
                inputs = len(parameter) if name.endswith('up.weight') else parameter[0].numel()
                nn.init.normal_(parameter, std=math.sqrt(2 / inputs))

    @property
    def output_margin(self) -> int:
        """Difference of input and logits on each side, in pixels."""
        return unet2015_margin(len(self.in_channels)) // 2

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the coarsest map; also the difference of successive valid sizes."""
        return 2 ** (len(self.in_channels) - 1)

    def valid_size(self, wanted: int) -> int:
        """The smallest size of logits along an axis, in pixels, that is at least the wanted one."""
        return unet2015_input_size(wanted, len(self.in_channels)) - 2 * self.output_margin

    def forward_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """Feature map before the classifier, (N, in_channels[0], H-184, W-184) for a depth of 5."""
        feats = self._transform_inputs(inputs)
        x = feats[-1]
        for stage, skip in zip(self.stages, feats[-2::-1]):
            x = stage(x, skip)
        return x

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class logits of the centre of a picture.

        Args:
            inputs: The encoder's maps from fine to coarse, (N, in_channels[i], H_i, W_i).

        Returns:
            (N, out_channels, H-184, W-184) of a picture of HxW, for a depth of 5 (``unet2015_margin``).
        """
        return self.cls_seg(self.forward_features(inputs))

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses and accuracy over the centre.

        Args:
            seg_logits: (N, out_channels, h, w).
            batch_data_samples: With ``gt_sem_seg``, (1, H, W), of the whole input or of the centre; and
                ``gt_weight_map`` of that size, if pixels are weighted.

        Returns:
            As in mmseg's heads: each loss by its name, and ``acc_seg``.
        """
        # At equal size mmseg's resizing is the identity, so mmseg's losses, sampler and ignore_index can be used.
        size = seg_logits.shape[2:]
        centres = [
            SegDataSample(
                **{name: PixelData(data=centre_crop(data, size)) for name, data in pixel_maps(sample).items()}
            )
            for sample in batch_data_samples
        ]
        return super().loss_by_feat(seg_logits, centres)

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """The logits unchanged.

        Args:
            seg_logits: (N, out_channels, h, w).
            batch_img_metas: The first contains the requested size, as in mmseg's heads: ``img_shape``, if it is a
                ``torch.Size``, else ``pad_shape`` if present, else ``img_shape``.

        Raises:
            ValueError: If it is not that of the logits: the border was not predicted, and they are not stretched.
        """
        meta = batch_img_metas[0]
        asked = meta['img_shape']
        if not isinstance(asked, torch.Size):
            asked = meta.get('pad_shape', asked)
        if tuple(asked[:2]) != tuple(seg_logits.shape[2:]):
            have, want = ('x'.join(str(n) for n in shape[-2:]) for shape in (seg_logits.shape, asked[:2]))
            raise ValueError(
                f'logits of {want} are requested, but an unpadded U-Net predicts the centre of its input, here {have}: '
                f'mirror the border of the picture, {self.output_margin} pixels on each side, '
                'and request the size without them'
            )
        return seg_logits


class UNet2015Stage(nn.Module):
    """One step up: up-convolution, the encoder's map cropped and copied, two unpadded 3x3 convolutions with ReLU.

    Args:
        below: Channels of the coarser map.
        width: Channels of the encoder's map and of the output; in the paper half of those below.
    """

    def __init__(self, below: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(below, width, 2, stride=2)
        self.convs = nn.Sequential(nn.Conv2d(2 * width, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Go one step up.

        Args:
            x: (N, below, h, w), the coarser map.
            skip: (N, width, H, W), the encoder's map, larger than (2h, 2w) by an even number of pixels.

        Returns:
            (N, width, 2h-4, 2w-4).
        """
        x = self.up(x)
        return self.convs(torch.cat([centre_crop(skip, x.shape[2:]), x], dim=1))
