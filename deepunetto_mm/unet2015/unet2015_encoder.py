"""The contracting path of the U-Net of 2015."""

from typing import Optional, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from deepunetto_mm.registry import MODELS
from deepunetto_mm.unet2015.sizes import unet2015_output_shape


@MODELS.register_module()
class UNet2015Encoder(BaseModule):
    """The contracting path of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation" (MICCAI 2015), unpadded as in the paper.

    ::

        572 ─▶ 570 ─▶ 568   284 ─▶ 282 ─▶ 280   140 ─▶ 138 ─▶ 136   68 ─▶ 66 ─▶ 64   32 ─▶ 30 ─▶ 28
             64 channels ─pool▶  128          ─pool▶  256          ─pool▶ 512      ─pool▶ 1024

    Each level has two 3x3 convolutions with ReLU, and the last two levels have dropout: the paper has dropout layers
    "at the end of the contracting path" without saying where, and the released network has them there, before the map
    is pooled and copied. Weights are initialised as in the paper, from a normal distribution of standard deviation
    sqrt(2/N), where N is the number of inputs of a unit; biases are 0. ``init_cfg`` replaces this.

    Args:
        in_channels: Channels of the picture.
        channels: Width of each level, from fine to coarse; their number is the depth.
        dropout_ratio: Probability that a value of the last two levels is set to 0 in training.
        init_cfg: Initialisation by mmengine instead.

    Raises:
        ValueError: If there is no level, or ``dropout_ratio`` is not a probability.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        dropout_ratio: float = 0.5,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if not channels:
            raise ValueError('channels needs a width for each level, at least one')
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU())
            for below, width in zip([in_channels, *channels], channels)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout_ratio)
        for name, parameter in self.named_parameters():
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, mode='fan_in', nonlinearity='relu')

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of a picture.

        Args:
            x: (N, in_channels, H, W); H and W must be valid for the whole U-Net, down and up again: for a depth of 5
                188, 204, 220, ... (``unet2015_is_valid_size``).

        Returns:
            The map of each level before it is pooled, from fine to coarse: (N, channels[0], H-4, W-4),
            (N, channels[1], (H-4)/2-4, (W-4)/2-4), ...

        Raises:
            ValueError: If a size is not valid; the message has the nearest valid ones.
        """
        depth = len(self.levels)
        unet2015_output_shape(x.shape[2:], depth)
        feats: list[Tensor] = []
        for i, level in enumerate(self.levels):
            x = level(self.pool(x) if i else x)
            if i >= depth - 2:
                x = self.dropout(x)
            feats.append(x)
        return feats
