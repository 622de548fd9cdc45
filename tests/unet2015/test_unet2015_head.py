import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

from deepunetto_mm.registry import MODELS
from deepunetto_mm.unet2015 import UNet2015Encoder, UNet2015Head

CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss')


def _head(in_channels=(4, 6, 8), num_classes=3, **options) -> UNet2015Head:
    return MODELS.build(
        dict(type='deepunetto_mm.UNet2015Head', in_channels=in_channels, num_classes=num_classes, **options)
    )


def _network(channels=(4, 6, 8), num_classes=3, in_channels=1, **options) -> nn.Sequential:
    return nn.Sequential(UNet2015Encoder(in_channels, channels), _head(channels, num_classes, **options)).eval()


def _samples(labels: torch.Tensor) -> list[SegDataSample]:
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


@pytest.fixture(scope='module')
def paper() -> nn.Sequential:
    """The network of the paper, without values."""
    with torch.device('meta'):
        return nn.Sequential(UNet2015Encoder(), UNet2015Head(num_classes=2))


def test_channels_and_sizes_of_the_papers_figure(paper):
    sizes: list[tuple] = []
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [
        module.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:3])))
        for module in paper[1].modules()
        if isinstance(module, convolutions)
    ]
    logits = paper(torch.zeros(1, 1, 572, 572, device='meta'))
    for hook in hooks:
        hook.remove()
    assert sizes == [
        *[(512, 56), (512, 54), (512, 52)],
        *[(256, 104), (256, 102), (256, 100)],
        *[(128, 200), (128, 198), (128, 196)],
        *[(64, 392), (64, 390), (64, 388)],
        (2, 388),
    ]
    assert logits.shape == (1, 2, 388, 388)
    # "In total the network has 23 convolutional layers."
    assert sum(isinstance(module, convolutions) for module in paper.modules()) == 23


def test_number_of_parameters(paper):
    # Upwards 2x2 up-convolutions 4ab + b, and 3x3 convolutions of 2b channels and of b; downwards as the encoder's
    # test says; at last 64 weights and a bias for each class.
    pairs = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    up = sum((4 * a * b + b) + (9 * 2 * b * b + b) + (9 * b * b + b) for a, b in pairs)
    assert up + 2 * (64 + 1) == 12_188_610
    assert sum(parameter.numel() for parameter in paper.parameters()) == 18_842_048 + 12_188_610 == 31_030_658


def test_hand_computed_output():
    """Kernels that pass on the middle pixel: the logits are the picture plus a pooled pixel times the up-kernel."""
    network = _network((1, 1), num_classes=2)
    encoder, head = network
    with torch.no_grad():
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        for conv in (*encoder.levels[0][::2], *encoder.levels[1][::2], *head.stages[0].convs[::2]):
            conv.weight[:, :, 1, 1] = 1
        head.stages[0].up.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
        head.conv_seg.weight[:, 0, 0, 0] = torch.tensor([1.0, -2.0])
        head.conv_seg.bias.copy_(torch.tensor([0.0, 5.0]))
    picture = torch.arange(18.0 * 18).view(1, 1, 18, 18)
    # The output lies at rows and columns 8 and 9: 8*18+8 = 152, 153, 170, 171; pooled, that is the greatest, 171.
    expected = torch.tensor([[152.0 + 171, 153 + 2 * 171], [170 + 3 * 171, 171 + 4 * 171]])
    assert torch.equal(network(picture), torch.stack([expected, 5 - 2 * expected])[None])
    # What is negative stops at the first ReLU.
    assert torch.equal(network(-picture), torch.tensor([0.0, 5.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2))


def test_the_copy_comes_before_what_is_upsampled():
    head = _head((1, 1), num_classes=2)
    with torch.no_grad():
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        head.stages[0].convs[0].weight[0, 0, 1, 1] = 1
        head.stages[0].convs[2].weight[0, 0, 1, 1] = 1
        head.conv_seg.weight[0] = 1
    skip = torch.rand(1, 1, 14, 14)
    assert torch.equal(head([skip, torch.rand(1, 1, 3, 3)])[:, :1], skip[..., 6:8, 6:8])


def test_equals_the_functional_form():
    network = _network(in_channels=3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    down, head = list(network[0].parameters()), dict(network[1].named_parameters())
    picture = x = torch.randn(2, 3, 60, 52)
    maps = []
    for i in range(3):
        x = F.max_pool2d(x, 2) if i else x
        for j in (4 * i, 4 * i + 2):
            x = F.relu(F.conv2d(x, down[j], down[j + 1]))
        maps.append(x)
    for i, skip in enumerate((maps[1], maps[0])):
        x = F.conv_transpose2d(x, head[f'stages.{i}.up.weight'], head[f'stages.{i}.up.bias'], stride=2)
        rows, columns = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:]))
        x = torch.cat([skip[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]], x], 1)
        for j in (0, 2):
            x = F.relu(F.conv2d(x, head[f'stages.{i}.convs.{j}.weight'], head[f'stages.{i}.convs.{j}.bias']))
    x = F.conv2d(x, head['conv_seg.weight'], head['conv_seg.bias'])
    assert x.shape == (2, 3, 60 - 40, 52 - 40)
    torch.testing.assert_close(network(picture), x)


def test_a_shift_by_the_stride_shifts_the_logits_exactly():
    network = _network().double()
    for parameter in network.parameters():
        parameter.data = torch.randint(-1, 2, parameter.shape).double()  # whole numbers add up in any order
    picture = torch.randint(0, 9, (1, 1, 64, 60)).double()

    def shifted(rows: int, columns: int) -> torch.Tensor:
        return network(picture[..., rows : rows + 52, columns : columns + 52])

    still = shifted(0, 0)
    assert still.abs().max() < 2**52
    assert still.std() > 0
    assert torch.equal(shifted(4, 0)[..., :-4, :], still[..., 4:, :])
    assert torch.equal(shifted(8, 4)[..., :-8, :-4], still[..., 8:, 4:])
    # Pooling sees other neighbours after any other shift.
    assert not torch.equal(shifted(2, 0)[..., :-2, :], still[..., 2:, :])


def test_logits_do_not_depend_on_what_else_the_picture_shows():
    """The context of a pixel is what the margin promises: a larger picture has the same logits in the same place."""
    network = _network().double()
    picture = torch.randn(1, 1, 60, 60, dtype=torch.float64)
    torch.testing.assert_close(network(picture[..., 4:-4, 4:-4]), network(picture)[..., 4:-4, 4:-4])


def _with_weights_of(head: UNet2015Head, **options) -> UNet2015Head:
    other = _head(**options).eval()
    other.load_state_dict(head.state_dict())
    return other


def test_weights_are_drawn_as_he_et_al_do():
    head = _head((64, 128, 256), num_classes=2000)
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.init_weights()
    for name, tensor in head.state_dict().items():
        assert torch.equal(before[name], tensor)
        if name.endswith('bias'):
            assert torch.count_nonzero(tensor) == 0
            continue
        inputs = {
            'stages.0.up.weight': 256,
            'stages.0.convs.0.weight': 9 * 256,
            'stages.0.convs.2.weight': 9 * 128,
            'stages.1.up.weight': 128,
            'stages.1.convs.0.weight': 9 * 128,
            'stages.1.convs.2.weight': 9 * 64,
            'conv_seg.weight': 64,
        }[name]
        std, count = math.sqrt(2 / inputs), tensor.numel()
        assert abs(tensor.mean()) < 4 * std / math.sqrt(count)
        assert abs(tensor.std() / std - 1) < 4 / math.sqrt(2 * count)
        assert tensor.abs().max() > 2.5 * std


def test_every_parameter_learns_through_mmsegs_segmentor():
    model = MMSEG_MODELS.build(
        dict(
            type='mmseg.EncoderDecoder',
            backbone=dict(type='deepunetto_mm.UNet2015Encoder', in_channels=3, channels=(16, 16, 16)),
            decode_head=dict(type='deepunetto_mm.UNet2015Head', in_channels=(16, 16, 16), num_classes=3),
            test_cfg=ConfigDict(mode='whole'),
        )
    )
    model.init_weights()
    pictures, samples = torch.randn(2, 3, 60, 52), _samples(torch.randint(0, 3, (2, 60, 52)))
    losses = model(pictures, samples, mode='loss')
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg'}
    losses['decode.loss_ce'].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert model.eval()(pictures).shape == (2, 3, 20, 12)
    with pytest.raises(ValueError, match='logits of 60x52 are requested.* here 20x12.* 20 pixels on each side'):
        model(pictures, mode='predict')


def test_loss_is_that_of_the_centre():
    logits, labels = torch.randn(2, 3, 4, 6), torch.randint(0, 3, (2, 44, 46))
    labels[:, 20, 21] = 255
    centre = labels[:, 20:24, 20:26]
    losses = _head().loss_by_feat(logits, _samples(labels))
    # mmseg divides by all pixels, the ignored ones too, unless it is told otherwise.
    expected = F.cross_entropy(logits, centre, ignore_index=255, reduction='sum') / centre.numel()
    torch.testing.assert_close(losses['loss_ce'], expected)
    known = centre != 255
    right = (logits.argmax(1) == centre)[known].float().mean()
    torch.testing.assert_close(losses['acc_seg'], 100 * right[None])
    # The border counts nowhere.
    others = torch.randint(0, 3, labels.shape)
    others[:, 20:24, 20:26] = centre
    changed = _head().loss_by_feat(logits, _samples(others))
    assert all(torch.equal(changed[key], losses[key]) for key in losses)


def test_labels_of_the_centre_alone_will_do():
    logits, labels = torch.randn(2, 3, 4, 6), torch.randint(0, 3, (2, 44, 46))
    whole = _head().loss_by_feat(logits, _samples(labels))['loss_ce']
    assert torch.equal(whole, _head().loss_by_feat(logits, _samples(labels[:, 20:24, 20:26]))['loss_ce'])


def test_the_callers_samples_stay_as_they_are():
    samples = _samples(torch.randint(0, 3, (2, 44, 44)))
    _head().loss_by_feat(torch.randn(2, 3, 4, 4), samples)
    assert samples[0].gt_sem_seg.shape == (44, 44)


def test_several_losses():
    dice = dict(type='mmseg.DiceLoss', loss_weight=0.5)
    logits, samples = torch.randn(2, 3, 4, 4), _samples(torch.randint(0, 3, (2, 44, 44)))
    losses = _head(loss_decode=[CROSS_ENTROPY, dice, CROSS_ENTROPY]).loss_by_feat(logits, samples)
    assert set(losses) == {'loss_ce', 'loss_dice', 'acc_seg'}
    once = _head(loss_decode=CROSS_ENTROPY).loss_by_feat(logits, samples)
    torch.testing.assert_close(losses['loss_ce'], 2 * once['loss_ce'])
    torch.testing.assert_close(losses['loss_dice'], _head(loss_decode=dice).loss_by_feat(logits, samples)['loss_dice'])


def test_ignore_index():
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 44, 44))
    losses = _head(ignore_index=1).loss_by_feat(logits, _samples(labels))
    centre = labels[:, 20:24, 20:24]
    assert (centre == 1).any()
    expected = F.cross_entropy(logits, centre, ignore_index=1, reduction='sum') / 16
    torch.testing.assert_close(losses['loss_ce'], expected)


def test_sampler_picks_from_the_centre():
    """The two hardest of sixteen pixels carry the loss."""
    head = _head(sampler=dict(type='OHEMPixelSampler', min_kept=2))
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 44, 44))
    labels[:, 20, 20] = 255
    of_pixels = F.cross_entropy(logits, labels[:, 20:24, 20:24], ignore_index=255, reduction='none')
    losses = head.loss_by_feat(logits, _samples(labels))
    torch.testing.assert_close(losses['loss_ce'], of_pixels.flatten().topk(2).values.sum() / 16)


def test_weights_are_those_of_the_centre():
    head, logits = _head(num_classes=2), torch.zeros(1, 2, 2, 2)  # a loss of ln 2 at every pixel
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=torch.zeros(1, 4, 4, dtype=torch.long)),
        gt_weight_map=PixelData(data=torch.full((1, 4, 4), 100.0)),
    )
    sample.gt_weight_map.data[0, 1:3, 1:3] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert head.loss_by_feat(logits, [sample])['loss_ce'].item() == pytest.approx(2.5 * math.log(2))


def test_one_channel_for_two_classes():
    head = _head(
        num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True)
    )
    logits, labels = torch.randn(1, 1, 4, 4), torch.randint(0, 2, (1, 44, 44))
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], labels[:, 20:24, 20:24].float())
    torch.testing.assert_close(head.loss_by_feat(logits, _samples(labels))['loss_ce'], expected)


def test_labels_without_that_centre():
    with pytest.raises(ValueError, match='a map of 45x44 has no centre of 4x4'):
        _head().loss_by_feat(torch.randn(1, 3, 4, 4), _samples(torch.zeros(1, 45, 44, dtype=torch.long)))


@pytest.mark.parametrize(
    'meta',
    [
        dict(img_shape=(4, 6)),
        dict(img_shape=(3, 3), pad_shape=(4, 6)),
        dict(img_shape=torch.Size((4, 6)), pad_shape=(44, 46)),
    ],
)
def test_predicts_the_centre_as_it_is_when_asked_for_it(meta):
    logits = torch.randn(1, 3, 4, 6)
    assert _head().predict_by_feat(logits, [meta]) is logits
    larger = {key: type(shape)((shape[0] + 40, shape[1] + 40)) for key, shape in meta.items()}
    with pytest.raises(ValueError, match='here 4x6: mirror the border of the picture, 20 pixels on each side'):
        _head().predict_by_feat(logits, [larger])


def test_a_map_that_does_not_fit():
    feats = [torch.zeros(1, c, n, n) for c, n in [(4, 40), (6, 17), (8, 6)]]
    with pytest.raises(ValueError, match='a map of 17x17 has no centre of 12x12'):
        _head()(feats)


@pytest.mark.parametrize('option', ['norm_cfg', 'dropuot_ratio'])
def test_an_option_that_would_do_nothing_is_an_error(option):
    with pytest.raises(TypeError, match=option):
        _head(**{option: None})
