"""Names as maps: which fine class a pixel is, if it is of that group."""

from typing import Mapping, Optional, Sequence, Union

import torch
from mmcv.cnn import DepthwiseSeparableConvModule, build_norm_layer
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.dense_heads.dense_head import DenseHead
from deepunetto_mm.ops import pick_maps, share_of_mean, table_by_id
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.frames import given_regions
from deepunetto_mm.structures.maps import resize_map


@MODELS.register_module()
class FineMapHead(DenseHead):
    """Paint, for each pixel and group, log-probabilities of the group's fine classes.

    ::

        feats[i] ─▶ 1x1 ─▶ up to the finest, sum ─▶ norm, ReLU ─▶ 5x5 depthwise, 1x1 ─▶ dropout ─▶ 1x1 ─▶ log-softmax
                                                                                                   within each group

    The decode head finds garments, this map says which of them each would be. It reads the encoder's deeper maps: by
    the decoder's last features alone, half of the names were lost (docs/results.md). :class:`DeepUNetto` names regions
    by it with ``region_names='<head>.logits'``.

    The channels of a group are normalised on their own. Views are averaged as probabilities over all channels, in which
    each group has the same share; but where a map is resized across a border of names, a group has less there, and such
    a view counts less.

    Args:
        in_channels: Channels of the feature maps that are read, the finest of which sets the stride.
        in_index: Which of the feature maps of backbone and neck they are.
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
        channels: Width.
        dropout_ratio: Share of the channels that are dropped before the classifier.
        norm_cfg: Normalisation of the convolutions.
        loss_weight: Factor of the loss.
        class_weight: Factor of the loss of each fine class's pixels; None for 1. As in mmseg, the mean is
            over the pixels, not over their weights.

    Raises:
        ValueError: If there is no taxonomy, the numbers of channels and feature maps differ, or ``class_weight`` has
            another length than the fine classes.
    """

    kinds = {'logits': 'logits'}

    def __init__(
        self,
        in_channels: Sequence[int],
        in_index: Sequence[int],
        taxonomy: Optional[Union[dict, Taxonomy]] = None,
        channels: int = 160,
        dropout_ratio: float = 0.3,
        norm_cfg: dict = dict(type='BN'),
        loss_weight: float = 1.0,
        class_weight: Optional[Sequence[float]] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(taxonomy, init_cfg)
        if taxonomy is None:
            raise ValueError('FineMapHead needs the taxonomy, whose fine classes it paints: give the model one')
        if len(in_channels) != len(in_index) or not in_index:
            raise ValueError(f'FineMapHead: in_channels {tuple(in_channels)} but in_index {tuple(in_index)}')
        self.in_channels = tuple(in_channels)
        self.in_index = tuple(in_index)
        self.loss_weight = loss_weight
        names = self.taxonomy.fine_classes
        if class_weight is not None and len(class_weight) != len(names):
            raise ValueError(
                f'FineMapHead: class_weight has {len(class_weight)} numbers, and {len(names)} names are to be weighted'
            )
        self.class_weight = class_weight
        self.group_sizes = [len(group.fine_classes) for group in self.taxonomy.groups]
        # A sum of 1x1 convolutions: the same as one over all maps, upsampled and concatenated, for less.
        self.laterals = nn.ModuleList(nn.Conv2d(n, channels, 1, bias=False) for n in in_channels)
        self.norm = nn.Sequential(build_norm_layer(norm_cfg, channels)[1], nn.ReLU())
        self.mix = DepthwiseSeparableConvModule(channels, channels, 5, padding=2, norm_cfg=norm_cfg)
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.classifier = nn.Conv2d(channels, sum(self.group_sizes), 1)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """``'logits'``: log-probabilities (N, K, h, w) within each group, at the stride of the finest map read.

        Arguments are those of :class:`DenseHead`.
        """
        picked = pick_maps(feats, self.in_index, self.in_channels, 'FineMapHead')
        inputs = [lateral(x) for lateral, x in zip(self.laterals, picked)]
        size = max((x.shape[2:] for x in inputs), key=lambda size: size[0] * size[1])
        x = self.norm(torch.stack([resize_map(x, size, 'logits') for x in inputs]).sum(0))
        x = self.classifier(self.dropout(self.mix(x))).float()
        return dict(logits=torch.cat([own.log_softmax(1) for own in x.split(self.group_sizes, 1)], 1))

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """``loss_ce``: the mean over the pixels of annotated regions of all processes, whose names compete within their
        group. It is 0 without any, and then still connected to every parameter.

        Args:
            maps: As :meth:`forward` returned them.
            data_samples: With ``gt_sem_seg``, ``gt_region_map`` and ``gt_regions``, in the frame of the inputs.
        """
        log_probs = maps['logits']
        regions, region_maps = given_regions(data_samples, data_samples[0].gt_sem_seg.shape)
        counts = torch.stack([name_counts(*item, log_probs.shape[1:]) for item in zip(regions, region_maps)])
        weights = counts.to(log_probs)
        if self.class_weight is not None:
            weights = weights * log_probs.new_tensor(self.class_weight)[:, None, None]
        total = -(log_probs * weights).sum()
        return dict(loss_ce=self.loss_weight * share_of_mean(total, counts.sum()))


def name_counts(regions: InstanceData, region_map: Tensor, shape: Sequence[int]) -> Tensor:
    """How many pixels of each name lie in each cell of a coarser map.

    Args:
        regions: With ``ids`` and ``fine_labels``, of which -1 counts nowhere.
        region_map: (H, W) integers.
        shape: (K, h, w) of the map.

    Returns:
        Shape (K, h, w), int64.
    """
    names, height, width = shape
    # Ids of no known region, 0 and those of padding, name nothing either.
    name = table_by_id(region_map, regions.ids, regions.fine_labels, -1)[region_map]
    rows, columns = (
        torch.arange(n, device=name.device) * cells // n for n, cells in zip(region_map.shape, (height, width))
    )
    cell = (name * height + rows[:, None]) * width + columns
    return torch.bincount(cell[name >= 0], minlength=names * height * width).view(names, height, width)
