"""UNetDecoder trains and tests in mmseg's EncoderDecoder over each of the encoders, and beside mmseg's losses."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

FOLDER = Path(__file__).parent
CONFIGS = sorted(FOLDER.glob('*.py'))
CONFIGS.remove(Path(__file__))
LOSSES = {
    'dice': [dict(type='CrossEntropyLoss'), dict(type='DiceLoss', loss_weight=3.0)],
    'lovasz': dict(type='LovaszLoss', reduction='none'),
    'lovasz_of_each_picture': dict(type='LovaszLoss', per_image=True, class_weight=[0.5, 1.0, 1.0, 1.0]),
    'focal': dict(type='deepunetto_mm.FocalLoss', gamma=2.0),
    'tversky': dict(type='TverskyLoss', alpha=0.3, beta=0.7),
}
KEYS = dict(
    dice={'loss_ce', 'loss_dice'},
    lovasz={'loss_lovasz'},
    lovasz_of_each_picture={'loss_lovasz'},
    focal={'loss_focal'},
    tversky={'loss_tversky'},
)


def test_configs_are_found():
    assert len(CONFIGS) == 9


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_trains_and_tests(path, train_and_test):
    run = train_and_test(path)
    assert set(run.losses) == {'decode.loss_ce', 'aux.loss_ce', 'loss'}
    assert 0 <= run.figures['mIoU'] <= 100
    for sample in run.samples:
        assert sample.seg_logits.shape == (64, 64)
        assert sample.seg_logits.data.shape[0] == 4
        assert torch.equal(sample.pred_sem_seg.data[0], sample.seg_logits.data.argmax(0))


@pytest.mark.parametrize('name', LOSSES)
def test_losses(name, mmseg_scope):
    cfg = Config.fromfile(FOLDER / 'unet_decoder.py').model
    # Losses that are no sums over pixels cannot take a sampler's choice.
    cfg.decode_head.update(loss_decode=LOSSES[name], sampler=None)
    head = MODELS.build(cfg.decode_head)
    feats = [torch.randn(2, c, 64 // s, 64 // s) for c, s in zip(cfg.decode_head.in_channels, cfg.decode_head.strides)]
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 4, (1, 64, 64)))) for _ in range(2)]
    samples[0].gt_sem_seg.data[:, :9] = 255
    losses = head.loss(feats, samples, {})
    assert set(losses) == KEYS[name] | {'acc_seg'}
    total = sum(losses[key] for key in KEYS[name])
    total.backward()
    assert 0 < total < 20
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.conv_seg.parameters())
