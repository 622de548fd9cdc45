"""Crop each region by its mask, differentiably."""

from typing import Optional, Sequence, Union

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import roi_align

from deepunetto_mm.ops import boxes_to_rois, centred_boxes, expand_boxes, pick_maps, region_mask_align
from deepunetto_mm.registry import MODELS

GUIDANCE = ('hard', 'soft', 'detach', 'concat', 'none')


@MODELS.register_module()
class MaskGuidedRoICrop(nn.Module):
    """Cut regions out of the picture, and/or out of feature maps, and keep what belongs to the region.

    ::

        crop = fill + mask · RoIAlign(x − fill)

    The *hard* mask is [pixel is the region's], which keeps touching neighbours out. The *soft* one is that times
    P(region's group), through which the fine-grained loss reaches the segmentation; ``docs/results.md`` has what that
    costs. Several sources are cropped to one size and concatenated along the channels, the picture first.

    Args:
        output_size: Height and width of the crops, or one number for both.
        picture: Crop the picture.
        in_index: Feature maps to crop, by index; of any stride.
        guidance: ``'hard'`` or ``'soft'`` as above; ``'detach'``, soft without gradient to P;
            ``'concat'``, the soft mask appended as a last channel and nothing blanked out; ``'none'``, the plain box.
        keep_aspect: Enlarge the box to the proportions of the output, so that objects keep theirs (a square box for a
            square output); otherwise each box is stretched to the output.
        margin: Context on each side, as a fraction of the box's width and height.
        window: Width in pixels of the input of one box for all regions, centred on each, instead of a box fitted to the
            region (``keep_aspect`` and ``margin`` are then ignored). For pictures in which size matters, such as
            microscopy: fitted boxes make a lymphocyte as large as a monocyte.
        fill: Value outside of the mask and of the picture: ``'mean'`` for the source's mean (the picture's mean
            colour), or a number.
        sampling_ratio: RoIAlign's samples along each axis of an output pixel; 0 adapts it to the box's size.
        mask_sampling_ratio: Samples of the mask along each axis of an output pixel, at least 1.

    Raises:
        ValueError: If an option is unknown or no source is given.
    """

    def __init__(
        self,
        output_size: Union[int, Sequence[int]] = 64,
        picture: bool = True,
        in_index: Sequence[int] = (),
        guidance: str = 'hard',
        keep_aspect: bool = True,
        margin: float = 0.1,
        window: Optional[float] = None,
        fill: Union[str, float] = 'mean',
        sampling_ratio: int = 0,
        mask_sampling_ratio: int = 2,
    ) -> None:
        super().__init__()
        if guidance not in GUIDANCE:
            raise ValueError(f'guidance must be one of {GUIDANCE}, got {guidance!r}')
        if not picture and not in_index:
            raise ValueError('nothing to crop: set picture=True, or name feature maps by in_index')
        if isinstance(fill, str) and fill != 'mean':
            raise ValueError(f"fill must be 'mean' or a number, got {fill!r}")
        if mask_sampling_ratio < 1:
            raise ValueError(f'mask_sampling_ratio must be at least 1, got {mask_sampling_ratio}')
        if window is not None and window <= 0:
            raise ValueError(f'window must be a number of pixels above 0, or None, got {window}')
        height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
        self.output_size = (height, width)
        self.picture = picture
        self.in_index = tuple(in_index)
        self.guidance = guidance
        self.keep_aspect = keep_aspect
        self.margin = margin
        self.window = window
        self.fill = fill
        self.sampling_ratio = sampling_ratio
        self.mask_sampling_ratio = mask_sampling_ratio

    @property
    def needs_group_probs(self) -> bool:
        """Whether :meth:`forward` reads ``group_probs``."""
        return self.guidance not in ('hard', 'none')

    def forward(
        self,
        regions: Sequence[InstanceData],
        region_maps: Tensor,
        picture: Optional[Tensor] = None,
        feats: Optional[Sequence[Tensor]] = None,
        group_probs: Optional[Tensor] = None,
        picture_mean: Optional[Tensor] = None,
    ) -> Tensor:
        """Crop the R regions of a batch; arguments as of :class:`CropNeck`.

        ``picture`` is needed if the option is set, ``feats`` for ``in_index``, ``group_probs`` by the guidances soft,
        detach and concat. ``picture_mean`` is what ``fill='mean'`` is for the picture, by default its own mean.

        Returns:
            (R, C', h, w) float32, picture after picture; C' counts the channels of all sources and the mask of
            ``'concat'``. ``(0, C', h, w)`` without regions.
        """
        rois = boxes_to_rois([self.boxes(region.bboxes) for region in regions])
        mask = self.masks(regions, region_maps, rois, group_probs)
        crops = []
        for source, mean in self._sources(picture, feats, picture_mean):
            # torchvision's operator has no bfloat16 on the CPU.
            source = source.float()
            if self.fill != 'mean':
                fill = source.new_tensor(self.fill)
            else:
                fill = source.mean((2, 3), keepdim=True).detach() if mean is None else mean.float()[:, :, None, None]
            # No tensor of the two: torch.export would fail, and try again in a slower way.
            across = source.shape[-1] / region_maps.shape[-1]
            down = source.shape[-2] / region_maps.shape[-2]
            index, left, top, right, bottom = rois.unbind(1)
            scaled = torch.stack([index, left * across, top * down, right * across, bottom * down], dim=1)
            # Outside the picture RoIAlign reads 0, which after the shift means the fill.
            crop = roi_align(source - fill, scaled, self.output_size, sampling_ratio=self.sampling_ratio, aligned=True)
            if mask is not None and self.guidance != 'concat':
                crop = crop * mask
            crops.append(crop + (fill[rois[:, 0].long()] if self.fill == 'mean' else fill))
        if mask is not None and self.guidance == 'concat':
            crops.append(mask)
        return torch.cat(crops, dim=1)

    def masks(
        self, regions: Sequence[InstanceData], region_maps: Tensor, rois: Tensor, group_probs: Optional[Tensor]
    ) -> Optional[Tensor]:
        """Masks of the crops; what a subclass overrides for a guidance of its own.

        Args:
            regions, region_maps, group_probs: As in :meth:`forward`.
            rois: (R, 5) float, index of the picture and box, xyxy in pixels of ``region_maps``.

        Returns:
            (R, 1, h, w) float, which the crops are multiplied by (with ``'concat'``: that is appended to them), or None
            for plain boxes.
        """
        if self.guidance == 'none':
            return None
        ids, labels = (torch.cat([region[key] for region in regions]) for key in ('ids', 'labels'))
        if self.guidance == 'hard':
            return region_mask_align(region_maps, rois, ids, self.output_size, sampling_ratio=self.mask_sampling_ratio)
        if group_probs is None:
            raise ValueError(f'guidance {self.guidance!r} needs group_probs')
        probs = group_probs.detach() if self.guidance == 'detach' else group_probs
        return region_mask_align(
            region_maps, rois, ids, self.output_size, probs.float(), labels, self.mask_sampling_ratio
        )

    def boxes(self, bboxes: Tensor) -> Tensor:
        """What is cropped for regions of these boxes: with margin and proportions, or windows; (R, 4) both."""
        aspect = self.output_size[1] / self.output_size[0]
        if self.window is not None:
            return centred_boxes(bboxes, self.window, self.window / aspect)
        return expand_boxes(bboxes, self.margin, aspect if self.keep_aspect else None)

    def _sources(
        self, picture: Optional[Tensor], feats: Optional[Sequence[Tensor]], picture_mean: Optional[Tensor]
    ) -> list[tuple[Tensor, Optional[Tensor]]]:
        """What is cropped, and its mean if it was given."""
        sources: list[tuple[Tensor, Optional[Tensor]]] = []
        if self.picture:
            if picture is None:
                raise ValueError('picture=True needs the picture')
            sources.append((picture, picture_mean))
        if self.in_index:
            if feats is None:
                raise ValueError(f'in_index={self.in_index} needs the feature maps')
            sources.extend((x, None) for x in pick_maps(feats, self.in_index, None, 'MaskGuidedRoICrop'))
        return sources
