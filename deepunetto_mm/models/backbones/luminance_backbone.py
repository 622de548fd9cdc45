"""Rods: any backbone, fed with luminance."""

from typing import Any, Optional, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from deepunetto_mm.ops import LUMA_WEIGHTS, luminance
from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class LuminanceBackbone(BaseModule):
    """Let a backbone see brightness alone.

    The normalisation of the data preprocessor is undone, luminance computed, and normalised anew::

        (N, 3+E, H, W) normalised RGB ─▶ RGB 0..255 ─▶ luminance ─▶ (N, channels+E, H, W) ─▶ backbone

    E further channels, such as the mask of ``MaskGuidedRoICrop(guidance='concat')``, pass unchanged.

    Weights of an RGB network load into a one-channel backbone: the kernels of its first convolution are summed over the
    channels. On a grey picture the response is exactly the RGB network's if ``mean`` and ``std`` are the same in all
    three channels. Where they differ, as ImageNet's do, ``channels=3`` keeps pretrained weights exact.

    Args:
        backbone: Config of the wrapped backbone; its ``in_channels`` must be ``channels`` + E.
        mean: Mean of R, G, B that the data preprocessor subtracts, 0..255.
        std: Standard deviation of R, G, B that it divides by.
        standard: Weights of the channels, ``'bt709'`` or ``'bt601'``.
        linear_light: Weigh the channels in linear light.
        channels: 1, or 3 equal ones each normalised as its own colour would be, as pretrained weights expect of a grey
            picture.
    """

    def __init__(
        self,
        backbone: dict,
        mean: Sequence[float],
        std: Sequence[float],
        standard: str = 'bt709',
        linear_light: bool = False,
        channels: int = 1,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if standard not in LUMA_WEIGHTS:
            raise ValueError(f'standard must be one of {sorted(LUMA_WEIGHTS)}, got {standard!r}')
        if channels not in (1, 3):
            raise ValueError(f'channels must be 1 or 3, got {channels}')
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f'mean and std need a value for each of R, G and B, got {mean} and {std}')
        self.backbone = MODELS.build(backbone)
        self.standard = standard
        self.linear_light = linear_light
        self.channels = channels
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        # The mean luminance of the data follows from its mean colour; the spread is taken as the colours' average.
        luma_mean = luminance(self.mean, standard) if channels == 1 else self.mean
        luma_std = self.std.mean(1, keepdim=True) if channels == 1 else self.std
        self.register_buffer('luma_mean', luma_mean, persistent=False)
        self.register_buffer('luma_std', luma_std, persistent=False)
        stem = next((name for name, module in self.backbone.named_modules() if isinstance(module, nn.Conv2d)), None)
        if stem is not None and channels == 1:
            self._stem_weight = f'{stem}.weight'
            # torch made it public long after 2.1, the oldest that the package allows.
            self.backbone._register_load_state_dict_pre_hook(self._fold_stem, with_module=True)

    def forward(self, x: Tensor) -> Any:
        """Args: ``x`` (N, 3+E, H, W), normalised, RGB first. Returns what the wrapped backbone returns."""
        luma = luminance(x[:, :3] * self.std + self.mean, self.standard, self.linear_light)
        luma = (luma - self.luma_mean) / self.luma_std
        return self.backbone(torch.cat([luma, x[:, 3:]], dim=1) if x.shape[1] > 3 else luma)

    def _fold_stem(self, module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
        key = prefix + self._stem_weight
        own = module.get_parameter(self._stem_weight)
        if key in state_dict and state_dict[key].shape[1] == own.shape[1] + 2:
            weight = state_dict[key]
            state_dict[key] = torch.cat([weight[:, :3].sum(1, keepdim=True), weight[:, 3:]], dim=1)
