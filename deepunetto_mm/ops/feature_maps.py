"""Which feature maps a part reads."""

from typing import Optional, Sequence

from torch import Tensor


def pick_maps(
    feats: Sequence[Tensor], in_index: Sequence[int], in_channels: Optional[Sequence[int]], reader: str
) -> list[Tensor]:
    """The feature maps of ``in_index``.

    Args:
        feats: All maps (N, C, h, w) of backbone and neck.
        in_index: Positions in ``feats``; negative ones count from the end.
        in_channels: Channels that the reader was built for; None for any.
        reader: Name of the part that reads them.

    Raises:
        ValueError: If there are fewer maps, or they have other channels; torch would name neither part nor option.
    """
    try:
        picked = [feats[i] for i in in_index]
    except IndexError:
        picked = []
    if len(picked) == len(in_index) and (in_channels is None or [x.shape[1] for x in picked] == list(in_channels)):
        return picked
    wanted = '' if in_channels is None else f', in_channels={list(in_channels)}'
    raise ValueError(
        f'{reader} has in_index={list(in_index)}{wanted}, but the maps of backbone and neck have the channels '
        f'{[x.shape[1] for x in feats]}'
    )
