import copy

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models import TiledEncoderDecoder
from deepunetto_mm.models.segmentors.passes import TilePass
from deepunetto_mm.registry import MODELS

# Of three levels: total stride 4, context 20 on each side, outputs are multiples of 4.
UNET2015 = dict(
    backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=(4, 8, 16)),
    decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=(4, 8, 16), num_classes=3),
)
# Strides 1, 2 and 4. Radius of the receptive field: 1 + 1 + 2 pixels downwards; upwards 4 by interpolation and 4 by
# convolution at stride 2, 2 and 2 at stride 1. In all 16.
PADDED = dict(
    backbone=dict(type='deepunetto_mm.StridedConvolutions'),
    decode_head=dict(
        type='deepunetto_mm.UNetDecoder',
        in_channels=[4, 6, 8],
        strides=(1, 2, 4),
        channels=(6, 4),
        num_classes=3,
        norm_cfg=None,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ),
)
# What reads the backbone's map as logits of three classes.
READ_OUT = dict(
    type='mmseg.FCNHead',
    in_channels=3,
    channels=3,
    num_convs=0,
    concat_input=False,
    num_classes=3,
    loss_decode=dict(type='mmseg.CrossEntropyLoss'),
)


@MODELS.register_module()
class StridedConvolutions(nn.Module):
    """Maps of strides 1, 2 and 4, without a norm: each pixel depends on its neighbourhood alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(below, width, 3, stride=stride, padding=1)
            for below, width, stride in [(3, 4, 1), (4, 6, 2), (6, 8, 2)]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        feats = []
        for stage in self.stages:
            x = stage(x).relu()
            feats.append(x)
        return feats


@MODELS.register_module()
class WindowMean(nn.Module):
    """The mean of what it sees, at each pixel: the worst network to tile."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x.mean((2, 3), keepdim=True).expand_as(x)]


def _model(network: dict = UNET2015, **test_cfg) -> TiledEncoderDecoder:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='deepunetto_mm.TiledEncoderDecoder',
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
            test_cfg=test_cfg or None,
            **copy.deepcopy(network),
        )
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    if network['decode_head'] is READ_OUT:
        model.decode_head.conv_seg.weight.data = torch.eye(3).view(3, 3, 1, 1)
        model.decode_head.conv_seg.bias.data.zero_()
    return model.double().eval().requires_grad_(False)


def _tiles(tile_size=(20, 24), **options) -> dict:
    return dict(mode='tile', tile_size=tile_size, **options)


def _of_padded(tile_size=(20, 24), margin=16, **options) -> dict:
    return _tiles(tile_size, margin=margin, size_divisor=4, **options)


def _metas(inputs: Tensor) -> list[dict]:
    return [dict(ori_shape=(7, 7), img_shape=(9, 9), pad_shape=(9, 9)) for _ in inputs]  # none of which matters


def _infer(model: TiledEncoderDecoder, inputs: Tensor) -> Tensor:
    return model.inference(inputs, _metas(inputs))


def _mirrored_at_once(model: TiledEncoderDecoder, inputs: Tensor, margin: int) -> Tensor:
    """The network's own forward on the picture that numpy has mirrored, up to a multiple of 4; the picture's part."""
    height, width = inputs.shape[2:]
    sides = [(margin, margin + -size % 4) for size in (height, width)]
    padded = torch.from_numpy(np.pad(inputs.numpy(), [(0, 0), (0, 0), *sides], mode='reflect'))
    logits = model.decode_head(model.backbone(padded))
    lost = 0 if hasattr(model.decode_head, 'output_margin') else margin
    return logits[:, :, lost : lost + height, lost : lost + width]


def _record_inputs(model: TiledEncoderDecoder) -> list[tuple]:
    shapes: list[tuple] = []
    model.backbone.register_forward_hook(lambda _, args, __: shapes.append(tuple(args[0].shape)))
    return shapes


SIZES = [(67, 71), (68, 72), (20, 24), (41, 5), (3, 5), (1, 30), (1, 1)]


# ---------------------------------------------------------------------------------------------------- tiles and wholes
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('blending', [None, 'gaussian'])
def test_tiles_of_an_unpadded_network_equal_the_mirrored_picture_at_once(size, blending):
    model = _model(**_tiles(blending=blending))
    inputs = torch.randn(1, 3, *size, dtype=torch.float64)
    expected = _mirrored_at_once(model, inputs, 20)
    logits = _infer(model, inputs)
    assert logits.shape == (1, 3, *size)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_an_unpadded_network_predicts_a_whole_picture_as_one_tile(size):
    model = _model()
    inputs = torch.randn(2, 3, *size, dtype=torch.float64)
    seen = _record_inputs(model)
    logits = _infer(model, inputs)
    assert seen == [(2, 3, *(n + -n % 4 + 40 for n in size))]
    torch.testing.assert_close(logits, _mirrored_at_once(model, inputs, 20), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('blending', [None, 'gaussian'])
def test_tiles_of_a_padded_network_equal_the_mirrored_picture_at_once(size, blending):
    model = _model(PADDED, **_of_padded(blending=blending))
    inputs = torch.randn(1, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(_infer(model, inputs), _mirrored_at_once(model, inputs, 16), rtol=1e-12, atol=1e-12)


def test_a_margin_below_the_receptive_field_shows():
    """What the test before would not see if its network looked no further."""
    inputs = torch.randn(1, 3, 67, 71, dtype=torch.float64)
    model = _model(PADDED, **_of_padded(margin=12))
    difference = (_infer(model, inputs) - _mirrored_at_once(model, inputs, 16)).abs()
    assert difference.max() > 1e-3


def test_tiles_that_begin_off_the_stride_show():
    """Of 66 x 70 the last tiles of 24 begin at 44 and 48, or, were it not for the stride, at 42 and 46."""
    model, inputs = _model(), torch.randn(1, 3, 66, 70, dtype=torch.float64)
    expected = _infer(model, inputs)
    on, off = (
        TilePass((24, 24), 20, divisor, unpadded=True)(model.paint, inputs, _metas(inputs)).maps['logits']
        for divisor in (4, 2)
    )
    torch.testing.assert_close(on, expected, rtol=1e-12, atol=1e-12)
    assert (off - expected).abs().max() > 1e-2


def test_the_interior_of_a_padded_network_equals_mode_whole():
    """There the border that mmseg's mode pads with zeros is out of sight."""
    inputs = torch.randn(1, 3, 68, 72, dtype=torch.float64)
    whole = _model(PADDED).inference(inputs, [dict(ori_shape=(68, 72), img_shape=(68, 72))])
    tiles = _infer(_model(PADDED, **_of_padded()), inputs)
    assert not torch.allclose(whole, tiles)
    torch.testing.assert_close(tiles[..., 16:-16, 16:-16], whole[..., 16:-16, 16:-16], rtol=1e-12, atol=1e-12)


def test_the_papers_sizes():
    """Depth 5, of one channel each: tiles of 388 from windows of 572, and 384 further."""
    ones = (1,) * 5
    network = dict(
        backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=ones),
        decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=ones, num_classes=3),
    )
    model, inputs = _model(network, **_tiles((388, 388))), torch.randn(1, 3, 390, 389, dtype=torch.float64)
    whole = _model(network)
    for parameter in [*model.parameters(), *whole.parameters()]:
        parameter.abs_()  # or else most of so few units would be dead
    seen = _record_inputs(model)
    logits = _infer(model, inputs)
    assert seen == [(1, 3, 572, 572)] * 4
    assert (model.passing.margin, model.passing.size_divisor) == (92, 16)
    assert logits.std() > 0.1
    torch.testing.assert_close(logits, _infer(whole, inputs), rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------------ passes, memory
@pytest.mark.parametrize(
    ('per_batch', 'pictures', 'passes'),
    [(1, 1, [1] * 12), (5, 1, [5, 5, 2]), (100, 1, [12]), (5, 2, [5, 5, 5, 5, 4])],
)
def test_no_pass_sees_more_than_its_tiles(per_batch, pictures, passes):
    """67 rows: tiles of 20 at 0, 20, 40 and 48; 71 columns: tiles of 24 at 0, 24 and 48. Windows have 40 more."""
    model = _model(**_tiles(tiles_per_batch=per_batch))
    inputs = torch.randn(pictures, 3, 67, 71, dtype=torch.float64)
    seen = _record_inputs(model)
    logits = _infer(model, inputs)
    assert seen == [(count, 3, 60, 64) for count in passes]
    torch.testing.assert_close(logits, _infer(_model(), inputs), rtol=1e-12, atol=1e-12)


def test_a_batch_equals_its_pictures_one_by_one():
    model = _model(PADDED, **_of_padded(tiles_per_batch=7, blending='gaussian'))
    inputs = torch.randn(3, 3, 31, 50, dtype=torch.float64)
    torch.testing.assert_close(_infer(model, inputs), torch.cat([_infer(model, picture[None]) for picture in inputs]))


def test_each_pixel_is_written_once():
    """A network that answers 1 everywhere leaves exactly 1 everywhere, though tiles overlap."""
    model = _model(**_tiles())
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if name == 'decode_head.conv_seg.bias' else 0.0)
    assert torch.equal(_infer(model, torch.randn(1, 3, 67, 71).double()), torch.ones(1, 3, 67, 71).double())


def test_metas_stay_as_they_are_and_tiles_get_their_pictures():
    model, inputs = _model(PADDED, **_of_padded(tiles_per_batch=3)), torch.randn(2, 3, 20, 48, dtype=torch.float64)
    metas = [dict(img_path=name, img_shape=(20, 48), ori_shape=(20, 48)) for name in 'ab']
    seen, predict = [], model.decode_head.predict_by_feat
    model.decode_head.predict_by_feat = lambda logits, given: (
        seen.append([(meta['img_path'], tuple(meta['img_shape'])) for meta in given]) or predict(logits, given)
    )
    before = copy.deepcopy(metas)
    model.inference(inputs, metas)
    assert metas == before
    # The window is asked for, from which the padded network's margin is dropped.
    assert seen == [[('a', (52, 56)), ('a', (52, 56)), ('b', (52, 56))], [('b', (52, 56))]]


# ------------------------------------------------------------------------------------------------------------ blending
def test_blending_keeps_constant_logits():
    model = _model(**_tiles(blending='gaussian'))
    for name, parameter in model.named_parameters():
        parameter.fill_(3.7 if name == 'decode_head.conv_seg.bias' else 0.0)
    logits = _infer(model.float(), torch.randn(1, 3, 67, 71))
    torch.testing.assert_close(logits, torch.full((1, 3, 67, 71), 3.7))


def test_blending_is_smooth_where_tiles_disagree():
    """On a ramp the mean of tiles of 32 grows by 32 from tile to tile, or by 16 where they overlap by half.

    The share of a tile changes by 8/32 a pixel at most, so the logits do by 16 x 8/32 = 4.
    """
    network = dict(backbone=dict(type='deepunetto_mm.WindowMean'), decode_head=READ_OUT)
    inputs = torch.arange(96.0).double().expand(1, 3, 32, 96)
    options = dict(margin=0, size_divisor=1)
    hard = _infer(_model(network, **_tiles((32, 32), **options)), inputs)
    assert hard[0, 0, 0, ::32].tolist() == [15.5, 47.5, 79.5]
    assert hard.diff(dim=3).abs().max() == 32
    soft = _infer(_model(network, **_tiles((32, 32), blending='gaussian', **options)), inputs)
    assert 3.6 < soft.diff(dim=3).abs().max() <= 4
    assert soft.diff(dim=2).abs().max() < 1e-12
    assert soft[0, 0, 0, 0] == 15.5
    assert soft[0, 0, 0, -1] == 79.5


# --------------------------------------------------------------------------------------------------------------- flips
@pytest.mark.parametrize('dims', [(3,), (2,), (2, 3)])
@pytest.mark.parametrize('blending', [None, 'gaussian'])
def test_a_network_of_symmetric_kernels_commutes_with_flips(dims, blending):
    """So does its tiling, where the flipped pixels are pooled alike: at sizes that are multiples of the stride."""
    model = _model(**_tiles(blending=blending, tiles_per_batch=4))
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.copy_((parameter + parameter.flip(2) + parameter.flip(3) + parameter.flip(2, 3)) / 4)
    inputs = torch.randn(1, 3, 68, 72, dtype=torch.float64)
    torch.testing.assert_close(_infer(model, inputs.flip(dims)), _infer(model, inputs).flip(dims))


# -------------------------------------------------------------------------------------------------------------- mmseg
def test_predict_brings_the_logits_to_the_original_picture():
    """A flipped input, padded at the right: the padding is predicted, cut off, and the rest turned back."""
    model, inputs = _model(**_tiles()), torch.randn(1, 3, 30, 37, dtype=torch.float64)
    sample = SegDataSample(
        metainfo=dict(
            ori_shape=(30, 33), img_shape=(30, 33), padding_size=[0, 4, 0, 0], flip=True, flip_direction='horizontal'
        )
    )
    result = model.predict(inputs, [sample])[0]
    expected = _infer(model, inputs)[0, :, :, :33].flip(2)
    torch.testing.assert_close(result.seg_logits.data, expected)
    assert torch.equal(result.pred_sem_seg.data[0], expected.argmax(0))
    bare = model.predict(inputs)[0]
    torch.testing.assert_close(bare.seg_logits.data, _infer(model, inputs)[0])


@pytest.mark.parametrize('test_cfg', [{}, dict(mode='slide', crop_size=(16, 20), stride=(12, 16))])
def test_the_other_modes_are_mmsegs(test_cfg):
    ours, inputs = _model(PADDED, **test_cfg), torch.randn(1, 3, 30, 37, dtype=torch.float64)
    theirs = EncoderDecoder(**copy.deepcopy(PADDED), test_cfg=ours.test_cfg).double().eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.predict(inputs)[0].seg_logits.data, theirs.predict(inputs)[0].seg_logits.data)


def test_trains_on_the_centre():
    """The mode of prediction changes nothing in training."""
    model = _model(**_tiles()).train().requires_grad_(True)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 3, (1, 44, 48))))
    losses = model.loss(torch.randn(1, 3, 44, 48, dtype=torch.float64), [sample])
    losses['decode.loss_ce'].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


# -------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ('network', 'test_cfg', 'message'),
    [
        (UNET2015, dict(mode='tiles'), "mode must be one of .*'tile'.*, got 'tiles'"),
        (UNET2015, dict(mode='whole', tile=(20, 24)), r"test_cfg has unknown keys \['tile'\]"),
        (UNET2015, dict(mode='slide', crop_size=(60, 60), stride=(20, 20)), "'slide' leaves out the border"),
        (PADDED, dict(mode='slide', stride=(4, 4)), 'crop_size must be a height and a width in pixels, got None'),
        (PADDED, dict(mode='slide', crop_size=(4, 4), stride=(4, 0)), r'stride must be a height .*, got \(4, 0\)'),
        (PADDED, dict(mode='slide', crop_size=(6, 6), stride=(6, 9)), r'stride \(6, 9\) is larger than .* \(6, 6\)'),
        (UNET2015, dict(mode='tile'), r"mode='tile' needs \['tile_size'\] too"),
        (PADDED, _tiles(), r"mode='tile' needs \['margin', 'size_divisor'\] too"),
        (PADDED, _of_padded(margin=-4), 'margin must be a whole number of at least 0, got -4'),
        (PADDED, _of_padded(margin=2.5), 'margin must be a whole number of at least 0, got 2.5'),
        (PADDED, _tiles(margin=0, size_divisor=0), 'size_divisor must be a whole number of at least 1, got 0'),
        (PADDED, _of_padded(tiles_per_batch=0), 'tiles_per_batch must be a whole number of at least 1, got 0'),
        (PADDED, _of_padded(20), 'tile_size must be a height and a width in pixels, got 20'),
        (PADDED, _of_padded((20, 0)), r'tile_size must be a height and a width in pixels, got \(20, 0\)'),
        (PADDED, _of_padded((20, 26)), r'must be multiples of size_divisor=4, .*; \[26\] are not'),
        (PADDED, _of_padded(margin=15), r'must be multiples of size_divisor=4, .*; \[15\] are not'),
        (PADDED, _of_padded(blending='mean'), "blending must be one of .*'gaussian'.*, got 'mean'"),
        (PADDED, _of_padded((4, 8), blending='gaussian'), 'tiles of 4 pixels are too small: they need at least 8'),
        (UNET2015, _tiles(margin=24), 'margin is 24, but of this unpadded U-Net it is 20'),
        (UNET2015, _tiles(size_divisor=2), 'size_divisor is 2, but of this unpadded U-Net it is 4'),
        (UNET2015, _tiles((20, 26)), r'tile_size has \[26\], .* cannot predict; .* sizes are \[28\]'),
    ],
)
def test_options_that_cannot_be(network, test_cfg, message):
    with pytest.raises(ValueError, match=message):
        _model(network, **test_cfg)


def test_what_an_unpadded_network_has_of_its_own_may_be_said():
    said, unsaid = (_model(**_tiles(**options)).passing for options in (dict(margin=20, size_divisor=4), {}))
    assert (said.margin, said.size_divisor) == (unsaid.margin, unsaid.size_divisor) == (20, 4)
