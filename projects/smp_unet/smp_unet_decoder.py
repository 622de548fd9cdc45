"""The decoder of smp.Unet as a decode head of mmsegmentation."""

from typing import Any, Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class SmpUNetDecoder(BaseDecodeHead):
    """Decoder and last layer of ``smp.Unet``: logits at the size of the picture.

    Args:
        in_channels: Widths of the encoder's maps, of strides 2, 4, 8 and so on.
        decoder_channels: Widths of the decoder's blocks, from the deepest, one for each map.
        others: Those of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: If there are more or fewer blocks than maps.
    """

    def __init__(
        self, in_channels: Sequence[int], decoder_channels: Sequence[int] = (256, 128, 64, 32, 16), **others: Any
    ) -> None:
        if len(decoder_channels) != len(in_channels):
            raise ValueError(
                f'decoder_channels must have a width for each of the {len(in_channels)} maps of in_channels, got '
                f'{len(decoder_channels)}: {list(decoder_channels)}'
            )
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            channels=decoder_channels[-1],
            **others,
        )
        # It wants the picture in front of the maps, for its size alone.
        self.decoder = UnetDecoder((0, *in_channels), decoder_channels, n_blocks=len(decoder_channels))
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, kernel_size=3, padding=1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (N, C, H, W) of the encoder's maps."""
        feats = self._transform_inputs(inputs)
        count, _, height, width = feats[0].shape
        picture = feats[0].new_empty(count, 0, 2 * height, 2 * width)
        return self.cls_seg(self.decoder([picture, *feats]))
