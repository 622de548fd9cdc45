"""A network of timm with its last layers."""

from typing import Any, Optional

from mmengine.model import BaseModule
from torch import Tensor

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class TIMMStages(BaseModule):
    """The map of each stage, from fine to coarse, and then the map that the network's own classifier would average.

    mmpretrain's ``TIMMBackbone`` gives either of them: with ``features_only=True`` it leaves out what follows the last
    stage, such as the convolution to 1280 channels of an EfficientNet, whose ImageNet weights help to name. Here a
    decoder reads the stages, and a fine branch crops the last map.

    Args:
        model_name: Name of a network in timm that has the method ``forward_intermediates``.
        in_channels: Channels of the picture.
    """

    def __init__(self, model_name: str, in_channels: int = 3, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        import timm  # an extra of the package

        self.timm_model: Any = timm.create_model(model_name, in_chans=in_channels, num_classes=0)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The stages, (N, C, h, w) each, and the last map, of a picture ``x`` (N, C, H, W)."""
        last, stages = self.timm_model.forward_intermediates(x)
        return (*stages, last)
