"""What heads that name things share: features without pixels, which names a group allows, how it bears on them."""

from typing import Sequence

import torch
from torch import Tensor

from deepunetto_mm.structures import Taxonomy

CONDITIONS = ('hard', 'soft', 'flat')


def pool_last(feats: Sequence[Tensor]) -> Tensor:
    """The last feature map, (R, C, h, w) or (R, C), averaged over its pixels: (R, C)."""
    x = feats[-1]
    return x.mean((2, 3)) if x.dim() == 4 else x


def allowed_names(taxonomy: Taxonomy) -> Tensor:
    """Which fine classes each group allows, (G, K) bool."""
    return torch.tensor(taxonomy.group_of_fine)[None] == torch.arange(len(taxonomy.groups))[:, None]


def condition_scores(logits: Tensor, labels: Tensor, group_probs: Tensor, allowed: Tensor, condition: str) -> Tensor:
    """Scores of the fine classes, by what is known of the group.

    Args:
        logits: (R, K) of the fine classes.
        labels: (R,) the group of each region.
        group_probs: (R, G) probability of each group; used by ``'soft'``.
        allowed: (G, K) bool, the fine classes that each group allows.
        condition: ``'hard'``: a region is named among the children of its group. ``'soft'``: the score of a class is
            its probability within its group times the group's probability. ``'flat'``: among all fine classes.

    Returns:
        (R, K) float32; rows sum to 1, or with ``'soft'`` to the sum of ``group_probs``.
    """
    logits = logits.float()
    if condition == 'flat':
        return logits.softmax(1)
    if condition == 'hard':
        return logits.masked_fill(~allowed[labels], -torch.inf).softmax(1)
    scores = torch.zeros_like(logits)
    for group, own in enumerate(allowed):
        scores[:, own] = logits[:, own].softmax(1) * group_probs[:, group, None]
    return scores
