"""Where the centres of objects are, and from each pixel the way to its object's centre."""

from typing import Callable, Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import DepthwiseSeparableConvModule
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.dense_heads.dense_head import DenseHead
from deepunetto_mm.ops import share_of_mean
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy


@MODELS.register_module()
class CentreOffsetHead(DenseHead):
    """Paint a heat map of object centres, and for each pixel the vector to the centre of its object.

    ::

        the decoder's last features ─▶ 5x5 depthwise of a stride, 1x1 ─▶ 1x1 ─┬▶ heat     about 1 at centres, else 0
                                                                              └▶ vectors  (x, y) in pixels of the map

    It is the instance branch of Cheng et al., *Panoptic-DeepLab* (CVPR 2020), on the decoder of the classes, and it
    does not depend on the class. ``AddCentreTargets`` makes what it learns, and a ``CentreOffsetProposer`` makes
    regions of its maps.

    It works at half of the decoder's resolution, for a third of the cost: heat and vectors are smooth, and the outlines
    of objects are those of the class map. The losses compare maps of that size, to which targets are reduced: a cell
    has the greatest heat of its pixels, so that no peak is lost, and the vector of the pixel in its middle. Vectors are
    scaled as in a prediction: they are in pixels of the network's input, whatever the stride.

    Args:
        in_channels: Channels of the decoder's last features.
        taxonomy: The taxonomy or its dict, which :class:`DeepUNetto` gives.
        channels: Width.
        stride: Decoder pixels to a pixel of the maps, by rows and columns.
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
        stride: int = 2,
        norm_cfg: dict = dict(type='BN'),
        heat_weight: float = 200.0,
        vector_weight: float = 0.01,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(taxonomy, init_cfg)
        self.heat_weight = heat_weight
        self.vector_weight = vector_weight
        self.mix = DepthwiseSeparableConvModule(in_channels, channels, 5, stride=stride, padding=2, norm_cfg=norm_cfg)
        self.painter = nn.Conv2d(channels, 3, 1)

    def forward(self, features: Tensor, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """``'heat'`` (N, 1, h, w) and ``'vectors'`` (N, 2, h, w), at ``stride`` times the stride of the decoder.

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
        heat, vectors = maps['heat'], maps['vectors']
        targets = torch.stack([_centre_map(sample) for sample in data_samples])
        size, cells = targets.shape[2:], heat.shape[2:]
        heat_wanted = F.adaptive_max_pool2d(targets[:, :1], cells)  # NaN if one of the pixels is
        vectors_wanted = F.interpolate(targets[:, 1:], cells, mode='nearest-exact')
        vectors = vectors * vectors.new_tensor([size[1] / cells[1], size[0] / cells[0]])[:, None, None]
        return dict(
            loss_heat=self.heat_weight * _mean(F.mse_loss, heat, heat_wanted),
            loss_vectors=self.vector_weight * _mean(F.l1_loss, vectors, vectors_wanted),
        )


def _mean(error: Callable[..., Tensor], found: Tensor, wanted: Tensor) -> Tensor:
    """Errors of maps (N, C, h, w), channels summed: the mean over the pixels of all processes with a target."""
    known = ~wanted.isnan()
    # Not where(): the gradient of what it leaves out would be NaN.
    total = (error(found, wanted.nan_to_num(), reduction='none') * known).sum()
    return share_of_mean(total, known[:, 0].sum())


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
