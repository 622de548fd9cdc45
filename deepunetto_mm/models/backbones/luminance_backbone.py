"""Rods: any backbone, with luminance as input."""

from typing import Any, Optional, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from deepunetto_mm.ops import LUMA_WEIGHTS, SIGNALS, luminance
from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class LuminanceBackbone(BaseModule):
    """Let a backbone see only brightness.

    The normalisation of the data preprocessor is undone, luminance computed, and normalised again::

        (N, 3+E, H, W) normalised RGB ─▶ RGB 0..255 ─▶ luminance ─▶ (N, channels+E, H, W) ─▶ backbone

    E further channels, such as the mask of ``MaskGuidedRoICrop(guidance='concat')``, pass unchanged.

    Weights of an RGB network load into a one-channel backbone: the kernels of its first convolution are summed over the
    channels. If ``mean`` and ``std`` are the same in all three channels, the response is exactly the RGB network's to
    the grey picture of the signal's values. If they differ, as ImageNet's do, ``channels=3`` keeps pretrained
    weights exact. A grey picture keeps its values, unless ``'lightness'`` or learned weights change them.

    ``signal='learned'`` weights R, G and B by a parameter ``mixing`` (1, 3, 1, 1), initialised to BT.709: a 1x1
    convolution without bias. Its weights are unconstrained: they may become negative (differences of colours) and need
    not sum to 1; the first convolution can compensate the scale. They weight the differences from the mean colour, so
    that the normalisation stays valid.

    Args:
        backbone: Config of the wrapped backbone; its ``in_channels`` must be ``channels`` + E.
        mean: Mean of R, G, B that the data preprocessor subtracts, 0..255.
        std: Standard deviation of R, G, B that it divides by.
        signal: One of :data:`~deepunetto_mm.ops.SIGNALS`, which :func:`~deepunetto_mm.ops.luminance` describes, or
            ``'learned'``.
        channels: 1, or 3 equal ones, each normalised as its colour would be, which pretrained weights expect for a grey
            picture.

    Raises:
        ValueError: If an option has an invalid value.
    """

    def __init__(
        self,
        backbone: dict,
        mean: Sequence[float],
        std: Sequence[float],
        signal: str = 'bt709',
        channels: int = 1,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if signal not in (*SIGNALS, 'learned'):
            raise ValueError(f'signal must be one of {(*SIGNALS, "learned")}, got {signal!r}')
        if channels not in (1, 3):
            raise ValueError(f'channels must be 1 or 3, got {channels}')
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f'mean and std need a value for each of R, G and B, got {mean} and {std}')
        self.backbone = MODELS.build(backbone)
        self.signal = signal
        self.channels = channels
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        # Every signal is normalised as a grey value: by the luma of the mean colour and the colours' average deviation.
        mean_luma = luminance(self.mean, signal if signal in LUMA_WEIGHTS else 'bt709')
        mean_std = self.std.mean(1, keepdim=True)
        self.register_buffer('mean_luma', mean_luma, persistent=False)
        # Separate tensors: TorchScript cannot trace a model in which two buffers are the same tensor.
        self.register_buffer('signal_mean', (mean_luma if channels == 1 else self.mean).clone(), persistent=False)
        self.register_buffer('signal_std', (mean_std if channels == 1 else self.std).clone(), persistent=False)
        # Not a convolution: initialisers that select layers by type would overwrite it.
        mixing = nn.Parameter(torch.tensor(LUMA_WEIGHTS['bt709']).view(1, 3, 1, 1)) if signal == 'learned' else None
        self.register_parameter('mixing', mixing)
        stem = next((name for name, module in self.backbone.named_modules() if isinstance(module, nn.Conv2d)), None)
        if stem is not None and channels == 1:
            self._stem_weight = f'{stem}.weight'
            # torch made it public only after 2.1, the oldest supported version.
            self.backbone._register_load_state_dict_pre_hook(self._fold_stem, with_module=True)

    def forward(self, x: Tensor) -> Any:
        """Args: ``x`` (N, 3+E, H, W), normalised, RGB first. Returns the wrapped backbone's outputs."""
        signal = (self._see(x[:, :3]) - self.signal_mean) / self.signal_std
        return self.backbone(torch.cat([signal, x[:, 3:]], dim=1) if x.shape[1] > 3 else signal)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Number of a parameter's layer, and number of layers, as the wrapped backbone of mmpretrain counts them.

        Learned weights of the colours are in the last layer: no checkpoint of the wrapped backbone has them.

        Args:
            param_name: Its full name.
            prefix: The prefix of names in this backbone.

        Raises:
            NotImplementedError: If the wrapped backbone does not number its layers.
        """
        if not hasattr(self.backbone, 'get_layer_depth'):
            raise NotImplementedError(
                'layer-wise learning rates need a backbone with the method get_layer_depth, as in mmpretrain; '
                f'{type(self.backbone).__name__} does not have it'
            )
        return self.backbone.get_layer_depth(param_name.removeprefix(prefix), 'backbone.')

    def _see(self, x: Tensor) -> Tensor:
        """The signal (N, 1, H, W), 0..255, of normalised RGB (N, 3, H, W)."""
        if self.mixing is None:
            return luminance(x * self.std + self.mean, self.signal)
        return (x * self.std * self.mixing).sum(1, keepdim=True) + self.mean_luma

    def _fold_stem(self, module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
        key = prefix + self._stem_weight
        own = module.get_parameter(self._stem_weight)
        if key in state_dict and state_dict[key].shape[1] == own.shape[1] + 2:
            weight = state_dict[key]
            state_dict[key] = torch.cat([weight[:, :3].sum(1, keepdim=True), weight[:, 3:]], dim=1)
