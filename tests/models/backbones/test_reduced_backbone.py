import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import nn

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class Seen(nn.Module):
    """Returns what it is given."""

    def forward(self, x):
        return [x]


def _rods(scale=0.5):
    return MODELS.build(
        dict(type='deepunetto_mm.ReducedBackbone', scale=scale, backbone=dict(type='deepunetto_mm.Seen'))
    )


def test_half_of_a_ramp_by_hand():
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    (seen,) = _rods()(ramp)
    assert seen.shape == (1, 1, 2, 4)
    # The pixels between the borders are the mean of their two columns and, for smoothing, a little of the next ones.
    torch.testing.assert_close(seen[0, 0, 0, 1:3], torch.tensor([2.5, 4.5]))


@pytest.mark.parametrize(('size', 'expected'), [((5, 7), (2, 4)), ((1, 1), (1, 1)), ((480, 360), (240, 180))])
def test_odd_sizes_are_rounded_and_nothing_vanishes(size, expected):
    assert _rods()(torch.rand(2, 3, *size))[0].shape == (2, 3, *expected)


@pytest.mark.parametrize('scale', [0, 1, 1.5, -0.5])
def test_scale_out_of_range(scale):
    with pytest.raises(ValueError, match=f'scale must be above 0 and below 1, got {scale}'):
        _rods(scale)


def test_the_network_segments_the_reduced_picture_and_crops_the_whole_one(repository, mmseg_scope, monkeypatch):
    config = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py').model
    plain = MODELS.build(config).eval()
    config.backbone = dict(type='deepunetto_mm.ReducedBackbone', backbone=config.backbone)
    reduced = MODELS.build(config).eval()
    reduced.load_state_dict(
        {re.sub(r'^backbone\.', 'backbone.backbone.', name): value for name, value in plain.state_dict().items()}
    )
    inputs = torch.rand(2, 3, 64, 96)
    small = F.interpolate(inputs, size=(32, 48), mode='bilinear', antialias=True)
    torch.testing.assert_close(reduced(inputs, mode='tensor')[0], plain(small, mode='tensor')[0])

    seen, crop = [], reduced.crop_neck.forward
    monkeypatch.setattr(reduced.crop_neck, 'forward', lambda *given: seen.append(given[2]) or crop(*given))
    (first, _) = reduced.predict(inputs)
    assert all(picture is inputs for picture in seen)
    assert seen
    assert first.pred_sem_seg.data.shape == (1, 64, 96)
