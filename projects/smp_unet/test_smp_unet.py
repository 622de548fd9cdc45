import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from deepunetto_mm.registry import MODELS

FOLDER = Path(__file__).parent
smp = pytest.importorskip('segmentation_models_pytorch')
sys.path.insert(0, str(FOLDER))
import smp_unet_decoder  # noqa: E402


@pytest.mark.parametrize('size', [(64, 96), (70, 50)])
def test_equals_smp_unet(size):
    net = smp.Unet('resnet18', encoder_weights=None, classes=3).eval()
    head = MODELS.build(
        dict(type='deepunetto_mm.SmpUNetDecoder', in_channels=net.encoder.out_channels[1:], num_classes=3)
    ).eval()
    head.decoder.load_state_dict(net.decoder.state_dict())
    head.conv_seg.load_state_dict(net.segmentation_head[0].state_dict())
    picture = torch.rand(2, 3, *size)
    with torch.no_grad():
        maps = net.encoder(picture)[1:]
        wanted = net.segmentation_head(net.decoder(net.encoder(picture)))
        assert torch.equal(head(maps), wanted)
    assert wanted.shape == (2, 3, *size)


def test_a_block_for_each_map():
    with pytest.raises(ValueError, match='decoder_channels must have a width for each of the 4 maps.*got 5'):
        smp_unet_decoder.SmpUNetDecoder(in_channels=[8, 16, 32, 64], num_classes=3)


def test_trains_and_tests(train_and_test):
    run = train_and_test(FOLDER / 'deepunetto_shapes_smp.py')
    assert set(run.losses) == {'decode.loss_ce', 'fine.loss_cls', 'loss'}
    assert {'mIoU', 'fine/recognition', 'composed/mIoU'} <= set(run.figures)


def test_the_comparison_differs_in_the_decoder_alone(repository):
    own, plain = Config.fromfile(FOLDER / 'unet_ccp_smp.py'), Config.fromfile(repository / 'configs' / 'unet_ccp.py')
    assert own.model.decode_head.loss_decode == plain.model.decode_head.loss_decode
    for cfg in (own, plain):
        cfg.model.pop('decode_head')
        cfg.pop('custom_imports', None)
    assert own.to_dict() == plain.to_dict()
