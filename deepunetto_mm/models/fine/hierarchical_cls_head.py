"""A fine head for mmpretrain's classifiers."""

from typing import Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from deepunetto_mm.models.fine.fine_head import pool_last
from deepunetto_mm.models.fine.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.ops import share_of_mean
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy


@MODELS.register_module()
class HierarchicalClsHead(BaseModule):
    """Name whole pictures, generically and specifically: a head for mmpretrain's ``ImageClassifier``.

    ::

        features ─┬─▶ fc ─▶ probabilities of the groups
                  │             │ condition
                  └─▶ fine_head ◀──┘ ─▶ scores of the fine classes

    For pictures of one object each, which have names and no masks; the groups that a :class:`DeepUNetto` reads off its
    segmentation come from a linear classifier instead. The fine head's ``condition`` says what they are for: with
    ``'hard'`` a picture gets a name of its most probable group, with ``'soft'`` both probabilities are multiplied, and
    with ``'flat'`` generic and specific name are two opinions, which ``PictureAccuracy`` compares.

    Checkpoints carry the taxonomy.

    Args:
        taxonomy: The taxonomy or its dict; a picture's ``gt_label`` is a fine class of it.
        in_channels: Channels of the last feature map, which is averaged over its pixels.
        fine_head: Config of the fine head, which gets ``taxonomy`` and ``in_channels``.
        loss_weight: Factor of the loss of the groups.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        in_channels: int,
        fine_head: dict = dict(type='deepunetto_mm.FineGrainedHead'),
        loss_weight: float = 1.0,
        init_cfg: Optional[dict] = dict(type='Normal', std=0.01, override=dict(name='fc')),
    ) -> None:
        super().__init__(init_cfg)
        self.taxonomy = Taxonomy.from_dict(taxonomy)
        self.taxonomy_stamp = TaxonomyStamp(self.taxonomy)
        self.loss_weight = loss_weight
        self.fc = nn.Linear(in_channels, len(self.taxonomy.groups))
        self.fine_head = MODELS.build({'taxonomy': self.taxonomy, 'in_channels': in_channels, **fine_head})
        self.register_buffer('group_of_fine', torch.tensor(self.taxonomy.group_of_fine), persistent=False)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """What both classifiers read, (N, C), of feature maps of which the last, (N, C, h, w) or (N, C), is used."""
        return pool_last(feats)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (N, G) of the groups and (N, K) of the fine classes."""
        x = self.pre_logits(feats)
        return self.fc(x), self.fine_head([x])

    def loss(self, feats: Sequence[Tensor], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            feats: Feature maps of N pictures.
            data_samples: With ``gt_label`` (1,), a fine class, where the picture is labelled.

        Returns:
            ``generic.loss_cls``, the cross entropy of the groups, ``generic.acc`` in percent, and the fine head's
            losses under ``fine.``; 0 if no picture is labelled. Both are means over the pictures of all processes.

        Raises:
            ValueError: If pictures were mixed (``gt_score``): a mixture has no group.
        """
        if 'gt_score' in data_samples[0]:
            raise ValueError(
                'HierarchicalClsHead takes one name a picture; leave train_cfg.augments (mixup and the like) out'
            )
        x = self.pre_logits(feats)
        fine_labels = torch.cat(
            [s.gt_label if 'gt_label' in s else self.group_of_fine.new_tensor([-1]) for s in data_samples]
        )
        labels = torch.where(fine_labels < 0, 0, self.group_of_fine[fine_labels.clamp(min=0)])
        logits = self.fc(x).float()
        labelled = fine_labels >= 0
        number = labelled.sum()
        loss = share_of_mean((F.cross_entropy(logits, labels, reduction='none') * labelled).sum(), number)
        hits = ((logits.argmax(1) == labels) & labelled).sum()
        fine = self.fine_head.loss([x], labels, fine_labels)
        return {
            'generic.loss_cls': self.loss_weight * loss,
            'generic.acc': 100.0 * hits / number.clamp(min=1),
            **{f'fine.{name}': value for name, value in fine.items()},
        }

    @torch.no_grad()
    def predict(
        self, feats: Sequence[Tensor], data_samples: Optional[Sequence[Optional[DataSample]]] = None
    ) -> list[DataSample]:
        """Name N pictures.

        Args:
            feats: Their feature maps.
            data_samples: What the names are written to; None makes new ones.

        Returns:
            The data samples with ``pred_score`` (K,) and ``pred_label`` (1,) of the fine classes, and
            ``pred_generic_score`` (G,), probabilities of the groups.
        """
        x = self.pre_logits(feats)
        probs = self.fc(x).float().softmax(1)
        scores = self.fine_head.predict([x], probs.argmax(1), probs)
        samples = []
        for sample, score, generic in zip(data_samples or [None] * len(x), scores, probs):
            sample = DataSample() if sample is None else sample
            sample.set_pred_score(score).set_pred_label(score.argmax())
            sample.set_field(generic, 'pred_generic_score')
            samples.append(sample)
        return samples
