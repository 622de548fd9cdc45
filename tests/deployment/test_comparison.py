"""Two predictions of a picture beside each other, by hand; whole networks are compared in test_onnx_export.py."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.deployment.comparison import _require_alike

PICTURE = np.zeros((2, 3, 3), np.uint8)
LABELS = np.array([[0, 1, 1], [0, 0, 1]])


def _network(scores=((0.25, 0.75),)):
    """Predicts one region with these scores, or none, of every picture."""
    table = InstanceData(
        ids=torch.arange(1, len(scores) + 1),
        bboxes=torch.zeros(len(scores), 4),
        fine_labels=torch.ones(len(scores), dtype=torch.int64),
        fine_scores=torch.tensor(scores).reshape(-1, 2),
    )
    maps = {
        name: PixelData(data=torch.from_numpy(LABELS)[None])
        for name in ('pred_sem_seg', 'pred_region_map', 'pred_fine_seg')
    }
    sample = SegDataSample(pred_regions=table, **maps)
    return lambda picture, return_datasamples: [sample]


def test_the_largest_difference_is_that_of_the_scores():
    near = dict(fine_scores=np.array([[0.25005, 0.74998]]))
    assert _require_alike('x', _network(), PICTURE, dict(labels=LABELS), near) == pytest.approx(5e-5, rel=1e-3)
    none = dict(fine_scores=np.zeros((0, 2)))
    assert _require_alike('x', _network(()), PICTURE, dict(labels=LABELS), none) == 0


def test_what_differs_is_counted():
    other = LABELS.copy()
    other[0, :2] = 1, 2
    with pytest.raises(ValueError, match='x differs: 2 of 6 labels of a picture of 2x3'):
        _require_alike('x', _network(), PICTURE, dict(labels=other), {})
    with pytest.raises(ValueError, match='x differs: all of 1 ids'):
        _require_alike('x', _network(), PICTURE, dict(ids=np.zeros(0, int)), {})
    for score in (0.7502, np.nan):
        with pytest.raises(ValueError, match='x differs: by .* in a score'):
            _require_alike('x', _network(), PICTURE, {}, dict(fine_scores=np.array([[0.25, score]])))
