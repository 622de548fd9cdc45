import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from deepunetto_mm.models import UNetDecoder
from deepunetto_mm.models.decode_heads.unet_decoder import ScSE

CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss')


def _decoder(**options) -> UNetDecoder:
    options = (
        dict(
            in_channels=[4, 6, 8],
            strides=(2, 4, 8),
            channels=(7, 5),
            out_stride=2,
            num_classes=3,
            dropout_ratio=0.0,
            loss_decode=CROSS_ENTROPY,
        )
        | options
    )
    return UNetDecoder(**options)


def _pyramid(*sizes: tuple[int, int], channels=(4, 6, 8)) -> list[torch.Tensor]:
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes)]


@pytest.mark.parametrize('upsample', ['bilinear', 'nearest', 'deconv'])
@pytest.mark.parametrize(
    ('sizes', 'out'),
    [
        (((34, 36), (17, 18), (9, 9)), (34, 36)),  # a picture of 67x71
        (((30, 20), (10, 7), (3, 3)), (30, 20)),  # strides that triple
        (((8, 8), (8, 8), (8, 8)), (8, 8)),  # dilated: no stride at all
    ],
)
def test_any_sizes(upsample, sizes, out):
    assert _decoder(upsample=upsample)(_pyramid(*sizes)).shape == (2, 3, *out)


@pytest.mark.parametrize(
    ('out_stride', 'channels', 'size'), [(1, (7, 5, 4), (16, 24)), (2, (7, 5), (8, 12)), (4, (7,), (4, 6))]
)
def test_out_stride(out_stride, channels, size):
    decoder = _decoder(out_stride=out_stride, channels=channels)
    assert decoder(_pyramid((8, 12), (4, 6), (2, 3))).shape == (2, 3, *size)


def test_width_of_each_stage():
    decoder = _decoder(channels=(7, 5))
    inputs = [stage.convs[0].conv.in_channels for stage in decoder.stages]
    outputs = [stage.convs[-1].conv.out_channels for stage in decoder.stages]
    assert (inputs, outputs) == ([8 + 6, 7 + 4], [7, 5])
    assert decoder.conv_seg.in_channels == 5


def test_finest_features_are_left_out_above_out_stride():
    decoder = _decoder(out_stride=4, channels=(7,))
    feats = _pyramid((8, 8), (4, 4), (2, 2))
    with torch.no_grad():
        before = decoder(feats)
        feats[0] += 1
        torch.testing.assert_close(decoder(feats), before)


def test_hand_computed_stage():
    """Nearest up-sampling, all kernels the identity of one channel: the sum of the skip and the coarse map."""
    decoder = _decoder(
        in_channels=[1, 1],
        strides=(1, 2),
        channels=(1,),
        out_stride=1,
        num_classes=2,
        upsample='nearest',
        norm_cfg=None,
        convs_per_stage=1,
    )
    with torch.no_grad():
        for conv in (decoder.stages[0].convs[0].conv, decoder.conv_seg):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        decoder.stages[0].convs[0].conv.weight[:, :, 1, 1] = 1
        decoder.conv_seg.weight[:, 0, 0, 0] = torch.tensor([1.0, -2.0])
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    coarse = torch.tensor([[10.0, 20.0], [30.0, 40.0]]).view(1, 1, 2, 2)
    logits = decoder([fine, coarse])
    expected = fine + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(logits, torch.cat([expected, -2 * expected], 1))


def test_in_index_selects_the_backbones_outputs():
    decoder = _decoder(in_index=(1, 2, 3))
    feats = [None, *_pyramid((8, 8), (4, 4), (2, 2))]
    assert decoder(feats).shape == (2, 3, 8, 8)


def test_every_parameter_gets_a_gradient_and_losses_add_up():
    decoder = _decoder(
        scse=True, upsample='deconv', loss_decode=[CROSS_ENTROPY, dict(type='mmseg.DiceLoss', loss_weight=0.5)]
    )
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 16, 16)))) for _ in range(2)]
    losses = decoder.loss(_pyramid((8, 8), (4, 4), (2, 2)), samples, None)
    assert set(losses) == {'loss_ce', 'loss_dice', 'acc_seg'}
    (losses['loss_ce'] + losses['loss_dice']).backward()
    assert not [name for name, parameter in decoder.named_parameters() if parameter.grad is None]


def test_same_losses_share_a_key_as_in_mmseg():
    decoder = _decoder(loss_decode=[CROSS_ENTROPY, CROSS_ENTROPY]).eval()
    single = _decoder().eval()
    single.load_state_dict(decoder.state_dict())
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 16, 16)))) for _ in range(2)]
    feats = _pyramid((8, 8), (4, 4), (2, 2))
    torch.testing.assert_close(
        decoder.loss(feats, samples, None)['loss_ce'], 2 * single.loss(feats, samples, None)['loss_ce']
    )


def test_scse_by_hand():
    attention = ScSE(2)
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(attention(x), x)  # both gates are sigmoid(0): x/2 + x/2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(channels=(7, 5, 3)), 'each of 2 stages'),
        (dict(strides=(8, 4, 2)), 'fine to coarse'),
        (dict(strides=(2, 4)), '3 in_channels but 2 strides'),
        (dict(strides=(3, 6, 12), out_stride=1), 'by doubling'),
        (dict(out_stride=3), 'out_stride must be'),
        (dict(upsample='cubic'), 'upsample must be'),
        (dict(strides=(1, 2, 3), out_stride=4), 'coarser than every feature map'),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        _decoder(**options)


def test_a_typo_is_an_error():
    with pytest.raises(TypeError, match='dropuot'):
        _decoder(dropuot_ratio=0.1)
