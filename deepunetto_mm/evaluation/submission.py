"""What those who write predictions share: what a prediction must have, confidences, and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping
from uuid import uuid4

import cv2
import numpy as np
from torch import Tensor


def require_regions(sample: Mapping[str, Any]) -> None:
    """Raise if a data sample lacks what a :class:`DeepUNetto` predicts of regions.

    Raises:
        ValueError: If so; names the field.
    """
    for field in ('pred_fine_seg', 'pred_region_map', 'pred_regions'):
        if field not in sample:
            raise ValueError(f'the data sample has no {field!r}; a DeepUNetto with its fine parts writes it')


def confidences(regions: Mapping[str, Tensor]) -> Tensor:
    """Confidence of each object: the score of its region times that of its name, (R,) float64.

    Args:
        regions: ``scores`` (R,), ``fine_labels`` (R,) and ``fine_scores`` (R, K).
    """
    # In float64, where products tie only if the scores do.
    fine_scores = regions['fine_scores'].double().gather(1, regions['fine_labels'].long()[:, None])[:, 0]
    return regions['scores'].double() * fine_scores


def write_png(path: Path, values: np.ndarray) -> None:
    """Write (H, W) or, in the order blue, green, red, (H, W, 3) uint8 as :func:`write_whole` does."""
    write_whole(path, cv2.imencode('.png', values)[1].tobytes())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    # Under a name of its own first: the last pictures of an epoch may be given to two processes, on two machines.
    temporary = path.with_name(f'.{uuid4().hex}')
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
