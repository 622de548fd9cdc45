"""Boxes: xyxy float tensors in pixels, half open, so that ``x2 - x1`` is a width."""

from typing import Optional, Sequence

import torch
from torch import Tensor


def boxes_to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """Join the boxes of a batch.

    Args:
        boxes: N tensors (R_i, 4), those of each picture.

    Returns:
        (R, 5) float32: index of the picture, x1, y1, x2, y2, the format of torchvision's RoI operators.
    """
    rois = [torch.cat([box.new_full((box.shape[0], 1), i), box], dim=1) for i, box in enumerate(boxes)]
    return torch.cat(rois).float()


def expand_boxes(boxes: Tensor, margin: float, aspect: Optional[float] = None) -> Tensor:
    """Enlarge boxes about their centres.

    Args:
        boxes: (R, 4).
        margin: Context on each side, as a fraction of the box's own width and height.
        aspect: Width over height; the shorter side is enlarged to match it. None keeps each box's own.

    Returns:
        (R, 4); the boxes may reach beyond the picture.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = (boxes[:, 2:] - boxes[:, :2]) * (1 + 2 * margin)
    if aspect is not None:
        height = torch.maximum(size[:, 1], size[:, 0] / aspect)
        size = torch.stack([height * aspect, height], dim=1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


def centred_boxes(boxes: Tensor, width: float, height: float) -> Tensor:
    """Boxes of one size, in pixels, about the centres of the given ones, (R, 4)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = boxes.new_tensor([width / 2, height / 2])
    return torch.cat([centre - half, centre + half], dim=1)


def jitter_boxes(boxes: Tensor, amount: float) -> Tensor:
    """Shift each side of each box at random, to imitate the errors of predicted regions.

    Args:
        boxes: (R, 4).
        amount: Largest shift of a side, as a fraction of the box's width or height; below 0.5 so that boxes stay
            valid.
    """
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + (torch.rand_like(boxes) * 2 - 1) * amount * size
