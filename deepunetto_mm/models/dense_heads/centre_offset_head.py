"""Where the centres of objects are, and from each pixel the way to its object's centre."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import DepthwiseSeparableConvModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.dense_heads.dense_head import DenseHead
from deepunetto_mm.ops import share_of_mean
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import resize_map


@MODELS.register_module()
class CentreOffsetHead(DenseHead):
    """Paint a heat map of object centres, and for each pixel the vector to the centre of its object.

    ::

        the decoder's last features ─▶ 5x5 depthwise, 1x1 ─▶ 1x1 ─┬▶ heat     about 1 at centres, 0 elsewhere
                                                                  └▶ vectors  (x, y) in pixels of the map

    It is the instance branch of Cheng et al., *Panoptic-DeepLab* (CVPR 2020), on the decoder of the classes, and it
    does not depend on the class. ``AddCentreTargets`` makes what it learns, and a ``CentreOffsetProposer`` makes
    regions of its maps.

    Both losses compare maps at the size of the targets, to which vectors are scaled as in a prediction: they are in
    pixels of the network's input, whatever the stride of the decoder.

    Args:
        in_channels: Channels of the decoder's last features.
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
        channels: Width.
        norm_cfg: Normalisation of the convolutions.
        heat_weight: Factor of the mean squared error of the heat.
        vector_weight: Factor of the mean absolute error of the vectors, x and y summed.
    """

    kinds = {'heat': 'heat', 'vectors': 'vectors'}
    drawn = 'centre_map'

    def __init__(
        self,
        in_channels: int,
        taxonomy: Optional[Union[dict, Taxonomy]] = None,
        channels: int = 32,
        norm_cfg: dict = dict(type='BN'),
        heat_weight: float = 200.0,
        vector_weight: float = 0.01,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(taxonomy, init_cfg)
        self.heat_weight = heat_weight
        self.vector_weight = vector_weight
        self.mix = DepthwiseSeparableConvModule(in_channels, channels, 5, padding=2, norm_cfg=norm_cfg)
        self.painter = nn.Conv2d(channels, 3, 1)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """``'heat'`` (N, 1, h, w) and ``'vectors'`` (N, 2, h, w), at the stride of the decoder.

        Arguments are those of :class:`DenseHead`.
        """
        painted = self.painter(self.mix(features)).float()
        return dict(heat=painted[:, :1], vectors=painted[:, 1:])

    def loss(self, maps: Mapping[str, Tensor], data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        """``loss_heat`` and ``loss_vectors``: means over the pixels of all processes that have a target.

        Args:
            maps: As :meth:`forward` returned them.
            data_samples: With ``gt_sem_seg`` and ``gt_centre_map``, in the frame of the inputs.

        Raises:
            ValueError: If a sample has no ``gt_centre_map``.
        """
        targets = torch.stack([_centre_map(sample) for sample in data_samples])
        known = ~targets.isnan()
        losses = {}
        for name, channels, weight in (
            ('heat', slice(0, 1), self.heat_weight),
            ('vectors', slice(1, 3), self.vector_weight),
        ):
            counts = known[:, channels]
            # Not where(): the gradient of what it leaves out would be NaN.
            wrong = resize_map(maps[name], targets.shape[2:], self.kinds[name]) - targets[:, channels].nan_to_num()
            errors = (wrong.square() if name == 'heat' else wrong.abs()) * counts
            losses[f'loss_{name}'] = weight * share_of_mean(errors.sum(), counts[:, 0].sum())
        return losses


def _centre_map(sample: SegDataSample) -> Tensor:
    """The targets (3, H, W) of a picture, padded as it was: mmseg pads pictures and masks alone."""
    if 'gt_centre_map' not in sample:
        raise ValueError(
            f'{sample.get("img_path", "a picture")}: a CentreOffsetHead learns from gt_centre_map, which its data '
            'sample does not have. Put deepunetto_mm.AddCentreTargets before deepunetto_mm.PackRegionInputs'
        )
    targets = sample.gt_centre_map.data
    below, beside = (want - have for want, have in zip(sample.gt_sem_seg.shape, targets.shape[1:]))
    return F.pad(targets, (0, beside, 0, below), value=torch.nan)
