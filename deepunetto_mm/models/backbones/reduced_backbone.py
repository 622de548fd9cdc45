"""Rods that look at a reduced picture."""

from typing import Any, Optional

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class ReducedBackbone(BaseModule):
    """Let a backbone see a smaller picture than the rest of the network.

    In the eye, rods share their nerves and see coarsely, and cones see details. Here too: the segmentation of half the
    picture's height and width takes a quarter of the operations, and the crops of the regions still come from the
    whole picture. ::

        (N, C, H, W) ─▶ (N, C, scale H, scale W) ─▶ backbone

    Strides of its feature maps, such as those that :class:`UNetDecoder` is given, count from the reduced picture. The
    logits are brought to the size of the whole one as from any other stride. With ``test_cfg.mode='tile'``,
    ``size_divisor`` grows by ``1 / scale``. As ``fine_backbone='shared'`` it sees crops at their own size.

    Args:
        backbone: Config of the wrapped backbone.
        scale: Height and width of the reduced picture, relative to the whole one; above 0 and below 1. It is resized
            bilinearly, smoothed against aliasing.

    Raises:
        ValueError: If ``scale`` is out of range.
    """

    def __init__(self, backbone: dict, scale: float = 0.5, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if not 0 < scale < 1:
            raise ValueError(f'ReducedBackbone: scale must be above 0 and below 1, got {scale}')
        self.scale = scale
        self.backbone = MODELS.build(backbone)

    def forward(self, x: Tensor) -> Any:
        """Args: ``x`` (N, C, H, W). Returns the wrapped backbone's outputs."""
        if self.scale == 1:  # of the copy that looks at crops
            return self.backbone(x)
        size = [max(round(side * self.scale), 1) for side in x.shape[2:]]
        return self.backbone(F.interpolate(x, size=size, mode='bilinear', antialias=True))
