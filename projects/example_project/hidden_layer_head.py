"""A fine head with a hidden layer."""

from typing import Sequence, Union

from torch import Tensor, nn

from deepunetto_mm.models.heads.fine_grained_head import FineGrainedHead
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy


@MODELS.register_module()
class HiddenLayerHead(FineGrainedHead):
    """:class:`FineGrainedHead` with a hidden layer before the classifier.

    Args:
        taxonomy: The taxonomy or its dict.
        in_channels: Channels of the last feature map of the fine backbone.
        hidden_channels: Width of the hidden layer.
        loss_scope: As in :class:`FineGrainedHead`.
        condition: As in :class:`FineGrainedHead`.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        in_channels: int,
        hidden_channels: int = 128,
        loss_scope: str = 'group',
        condition: str = 'hard',
    ) -> None:
        super().__init__(taxonomy, hidden_channels, loss_scope=loss_scope, condition=condition)
        self.hidden = nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.ReLU())

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the last feature map, (R, C, h, w)."""
        return super().forward([self.hidden(feats[-1].mean((2, 3)))])
