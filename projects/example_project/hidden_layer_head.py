"""A fine head with a hidden layer."""

from typing import Any, Sequence, Union

from torch import Tensor, nn

from deepunetto_mm.models.fine.fine_grained_head import FineGrainedHead
from deepunetto_mm.models.fine.fine_head import pool_last
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy


@MODELS.register_module()
class HiddenLayerHead(FineGrainedHead):
    """:class:`FineGrainedHead` with a hidden layer before the classifier.

    Args:
        taxonomy: The taxonomy or its dict.
        in_channels: Channels of the last feature map of the fine backbone.
        hidden_channels: Width of the hidden layer.
        options: The other options of :class:`FineGrainedHead`, which refuses those that it does not know.
    """

    def __init__(
        self, taxonomy: Union[dict, Taxonomy], in_channels: int, hidden_channels: int = 128, **options: Any
    ) -> None:
        super().__init__(taxonomy, hidden_channels, **options)
        self.hidden = nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.ReLU())

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (R, K) of the last feature map, (R, C, h, w) or (R, C)."""
        return super().forward([self.hidden(pool_last(feats))])
