"""What a crop neck is: the contract of the fine branch with it."""

from typing import Optional, Protocol, Sequence

from mmengine.structures import InstanceData
from torch import Tensor


class CropNeck(Protocol):
    """A module that cuts regions out of a batch, as :class:`MaskGuidedRoICrop` does.

    Attributes:
        needs_group_probs: Whether it reads ``group_probs``.
        in_index: The feature maps that it reads, by index; ``()`` for crops of the picture alone.
    """

    needs_group_probs: bool
    in_index: Sequence[int]

    def __call__(
        self,
        regions: Sequence[InstanceData],
        region_maps: Tensor,
        picture: Optional[Tensor] = None,
        feats: Optional[Sequence[Tensor]] = None,
        group_probs: Optional[Tensor] = None,
        picture_mean: Optional[Tensor] = None,
    ) -> Tensor:
        """Crop the R regions of a batch, where R may be 0.

        Args:
            regions: For each of N pictures ``ids`` (R_i,), ``labels`` (R_i,) and ``bboxes`` (R_i, 4), in the frame of
                ``region_maps``.
            region_maps: (N, H, W) integers, region ids.
            picture: (N, C, H, W) float, the input of the network, or a window of one.
            feats: Its feature maps; None if there are none of the whole picture.
            group_probs: (N, G, H, W) float; None unless ``needs_group_probs``.
            picture_mean: (N, C), the mean of the whole picture, where ``picture`` is a window of it; else None.

        Returns:
            (R, C', h, w) float32, picture after picture.
        """

    def boxes(self, bboxes: Tensor) -> Tensor:
        """What is looked at for regions of these boxes, (R, 4) both, in pixels of the input.

        Only windows of large pictures need it (``test_cfg.keep_logits=False``).
        """
