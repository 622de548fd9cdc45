"""What a dense head is: one more cheap head on the features that the network has anyway."""

import copy
from typing import Any, Mapping, Optional, Sequence, Union

from mmengine.model import BaseModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import KINDS


class DenseHead(BaseModule):
    """Base of heads that paint maps of their own beside the class logits.

    :class:`DeepUNetto` names them in its config, ``dense_heads=dict(centres=dict(type=...))``, and their maps are then
    called ``'centres.<map>'``. Every map is resized, flipped, tiled, averaged over views and moved to the original
    frame by its kind (:mod:`deepunetto_mm.structures.maps`), and region proposers read it. Ground truth comes from
    transforms, in the data samples.

    Subclasses set :attr:`kinds`, and write :meth:`forward` and :meth:`loss`.

    Args:
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives; None if it has none.
    """

    kinds: Mapping[str, str] = {}
    """The kind of each map that :meth:`forward` returns, ``'logits'``, ``'heat'`` or ``'vectors'``."""

    drawn: Optional[str] = None
    """What the maps are called in the data samples of a prediction, after ``pred_``; None leaves them out."""

    align_corners = False
    """How maps are resized to the input; :class:`DeepUNetto` sets it to the decode head's."""

    def __init__(self, taxonomy: Optional[Union[dict, Taxonomy]] = None, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.taxonomy: Any = None if taxonomy is None else Taxonomy.from_dict(taxonomy)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps by name.

        Args:
            features: The decoder's last features, (N, F, h, w).
            feats: Feature maps of the backbone and neck, for heads that need more than the decoder kept.

        Returns:
            Maps (N, C, h', w') of any stride: they are resized to the class logits, by their kind.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a forward')

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the maps, by name: ``'loss_…'``.

        Args:
            maps: As :meth:`forward` returned them, at the network's own stride.
            data_samples: Ground truth of N pictures, in the frame of the inputs.

        Returns:
            The same keys for every batch, with ground truth or without, still connected to every parameter, as
            DistributedDataParallel demands.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a loss')


class DenseHeads(nn.ModuleDict):
    """The dense heads of a network, by name."""

    def init_weights(self) -> None:
        """Initialise the heads that have an ``init_cfg``; the others keep PyTorch's weights, as in all recipes."""
        head: Any
        for head in self.values():
            if head.init_cfg:
                head.init_weights()


def named_kinds(name: str, head: nn.Module) -> dict[str, str]:
    """The kind of each map of a dense head, by its full name ``'<name>.<map>'``.

    Raises:
        ValueError: If the head names no map, or a kind that is not known; or if the losses of another part begin with
            its name, which they would replace.
    """
    if name in ('decode', 'regions', 'fine', 'aux') or name.startswith('aux_'):
        raise ValueError(f'dense_heads.{name}: {name}.* are losses of another part; choose another name')
    kinds: Any = getattr(head, 'kinds', {})
    if not kinds or not set(kinds.values()) <= set(KINDS):
        raise ValueError(
            f'dense_heads.{name}: {type(head).__name__}.kinds must give the kind of each of its maps, one of {KINDS}; '
            f'got {dict(kinds)}'
        )
    return {f'{name}.{key}': kind for key, kind in kinds.items()}


def decode(decode_head: Any, feats: Sequence[Tensor]) -> tuple[Any, Tensor]:
    """What a decode head gives, and the features that its classifier reads.

    Args:
        decode_head: With ``forward_features`` and ``cls_seg``, or one whose ``forward`` calls mmseg's ``cls_seg``.
        feats: Feature maps of backbone and neck.

    Returns:
        As its ``forward``, class logits (N, C, h, w) of most heads; and its last features (N, F, h, w), before dropout.

    Raises:
        TypeError: If the head has no ``forward_features`` and does not call ``cls_seg``.
    """
    if hasattr(decode_head, 'forward_features'):
        features = decode_head.forward_features(feats)
        return decode_head.cls_seg(features), features
    seen: list[Tensor] = []

    def cls_seg(features: Tensor) -> Tensor:
        seen.append(features)
        return decode_head.cls_seg(features)

    watched = copy.copy(decode_head)  # the same layers; threads that predict side by side share the head itself
    watched.cls_seg = cls_seg
    logits = watched(feats)
    if not seen:
        raise TypeError(
            f"{type(decode_head).__name__} has no forward_features, the decoder's last features, which dense_heads "
            'read, and its forward does not call cls_seg with them: use deepunetto_mm.UNetDecoder, or give your head '
            'this method'
        )
    return logits, seen[-1]
