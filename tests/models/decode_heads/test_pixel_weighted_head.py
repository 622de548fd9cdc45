import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.models.decode_heads import FCNHead
from mmseg.structures import SegDataSample

from deepunetto_mm.models import PixelWeightedHead, UNetDecoder
from deepunetto_mm.models.decode_heads.pixel_weighted_head import _cross_entropy

CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss')
OVER_LABELLED = dict(CROSS_ENTROPY, avg_non_ignore=True)


class Head(PixelWeightedHead):
    """Logits are given."""

    def __init__(self, num_classes=2, **options):
        options = {'loss_decode': CROSS_ENTROPY, **options}
        super().__init__(in_channels=1, channels=1, num_classes=num_classes, **options)

    def forward(self, inputs):
        return inputs


def _sample(label, weight=None):
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.as_tensor(label)[None]))
    if weight is not None:
        sample.set_data(dict(gt_weight_map=PixelData(data=torch.as_tensor(weight)[None].float())))
    return sample


#: Logits (1, 2, 2, 2) whose odds of class 1 are 1, 3, 1/3 and 7.
LOGITS = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]], [[0.0, math.log(3)], [-math.log(3), math.log(7)]]]])


def test_by_hand():
    # Probabilities of the labels: 1/2, 3/4, 3/4, 1/8.
    sample = _sample([[0, 1], [0, 0]], [[1, 2], [4, 0.5]])
    expected = (math.log(2) + 2 * math.log(4 / 3) + 4 * math.log(4 / 3) + 0.5 * math.log(8)) / 4
    losses = Head().loss_by_feat(LOGITS, [sample])
    assert losses['loss_ce'].item() == pytest.approx(expected, rel=1e-6)
    assert losses['acc_seg'].item() == pytest.approx(75)
    assert set(losses) == {'loss_ce', 'acc_seg'}


def test_focal_loss_by_hand():
    # Probabilities of the labels: 1/2, 3/4, 3/4, and an ignored pixel.
    sample = _sample([[0, 1], [0, 255]], [[1, 2], [4, 1e6]])
    expected = (math.log(2) / 4 + 2 * math.log(4 / 3) / 16 + 4 * math.log(4 / 3) / 16) / 3
    losses = Head(loss_decode=dict(type='deepunetto_mm.FocalLoss')).loss_by_feat(LOGITS, [sample])
    assert losses['loss_focal'].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(('loss', 'count'), [(CROSS_ENTROPY, 4), (OVER_LABELLED, 2)])
def test_ignored_pixels_do_not_count(loss, count):
    expected = (math.log(2) + 4 * math.log(4 / 3)) / count
    logits = LOGITS.clone().requires_grad_()
    sample = _sample([[0, 255], [0, 255]], [[1, 1e6], [4, 1e6]])
    value = Head(loss_decode=loss).loss_by_feat(logits, [sample])['loss_ce']
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    # The derivative by the logit of the other class is its probability, times weight over count.
    other = torch.tensor([[0.5 * 1, 0], [0.25 * 4, 0]]) / count
    torch.testing.assert_close(logits.grad, torch.stack([-other, other])[None])


def _batch(weight=True, classes=3):
    """Two samples of 6x8 pixels, some of them ignored."""
    labels = torch.randint(0, classes, (2, 6, 8))
    labels[:, 0, :3] = 255
    weights = torch.rand(2, 6, 8) * 10
    return labels, weights, [_sample(*maps) for maps in (zip(labels, weights) if weight else zip(labels))]


LOSSES = [
    CROSS_ENTROPY,
    OVER_LABELLED,
    dict(CROSS_ENTROPY, class_weight=[1.0, 2.0, 0.5]),
    dict(CROSS_ENTROPY, use_sigmoid=True, loss_weight=0.3),
    [CROSS_ENTROPY, dict(type='mmseg.DiceLoss')],
    [dict(CROSS_ENTROPY, loss_name='loss_a'), dict(OVER_LABELLED, loss_name='loss_a')],
]


@pytest.mark.parametrize('loss', LOSSES)
def test_weights_of_one_are_mmsegs_loss(loss):
    labels, _, plain = _batch(weight=False)
    head, logits = Head(3, loss_decode=loss), torch.randn(2, 3, 3, 4)
    expected = head.loss_by_feat(logits, plain)
    ones = [_sample(label, torch.ones(6, 8)) for label in labels]
    assert head.loss_by_feat(logits, ones) == expected
    twos = [_sample(label, torch.full((6, 8), 2)) for label in labels]
    doubled = head.loss_by_feat(logits, twos)
    for name, value in expected.items():
        times = 1 if name in ('loss_dice', 'acc_seg') else 2
        torch.testing.assert_close(doubled[name], times * value)


def test_binary_segmentation_with_one_channel():
    labels, weights, samples = _batch(classes=2)
    head = Head(2, out_channels=1, threshold=0.5, loss_decode=dict(CROSS_ENTROPY, use_sigmoid=True))
    logits = torch.randn(2, 1, 6, 8)
    pixels = torch.nn.functional.softplus(logits[:, 0] * (1 - 2 * labels))
    expected = (weights * pixels)[labels != 255].sum() / labels.numel()
    torch.testing.assert_close(head.loss_by_feat(logits, samples)['loss_ce'], expected)


def test_sampler_and_weights_are_multiplied():
    labels, weights, samples = _batch()
    head = Head(3, sampler=dict(type='mmseg.OHEMPixelSampler', min_kept=5))
    logits = torch.randn(2, 3, 6, 8)
    chosen = head.sampler.sample(logits, labels[:, None])
    assert 0 < chosen.sum() < labels.numel()
    pixels = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction='none')
    torch.testing.assert_close(head.loss_by_feat(logits, samples)['loss_ce'], (pixels * chosen * weights).mean())


def test_batch_padded_by_the_preprocessor():
    """mmseg pads labels and not weights: what is there counts as before, and the rest for nothing."""
    labels, weights, _ = _batch()
    samples = [_sample(labels[0], weights[0]), _sample(labels[1, :4, :5], weights[1, :4, :5])]
    inputs = [torch.zeros(3, *sample.gt_sem_seg.shape) for sample in samples]
    preprocessor = SegDataPreProcessor(size=(7, 9))
    samples = preprocessor(dict(inputs=inputs, data_samples=samples), training=True)['data_samples']
    assert samples[1].gt_sem_seg.shape == (7, 9)
    logits = torch.randn(2, 3, 7, 9)
    log_probs = logits.log_softmax(1)
    total, count = 0, 0
    for n, (height, width) in enumerate([(6, 8), (4, 5)]):
        for y in range(height):
            for x in range(width):
                if labels[n, y, x] != 255:
                    total -= weights[n, y, x] * log_probs[n, labels[n, y, x], y, x]
                    count += 1
    loss = Head(3, loss_decode=OVER_LABELLED).loss_by_feat(logits, samples)['loss_ce']
    torch.testing.assert_close(loss, total / count)


def test_nothing_labelled_is_a_loss_of_zero():
    sample = _sample(torch.full((2, 2), 255), torch.zeros(2, 2))
    logits = LOGITS.clone().requires_grad_()
    for loss in (CROSS_ENTROPY, OVER_LABELLED):
        value = Head(loss_decode=loss).loss_by_feat(logits, [sample])['loss_ce']
        assert value == 0
        value.backward()
    assert (logits.grad == 0).all()


def _unet_decoder():
    options = dict(strides=(2, 4), channels=(4,), out_stride=2, loss_decode=CROSS_ENTROPY)
    return UNetDecoder([1, 1], num_classes=3, dropout_ratio=0.0, **options)


def _head_of_mmseg():
    class WeightedFCNHead(PixelWeightedHead, FCNHead):
        pass

    return WeightedFCNHead(
        in_channels=1, channels=4, num_classes=3, dropout_ratio=0.0, in_index=0, loss_decode=CROSS_ENTROPY
    )


@pytest.mark.parametrize('build', [_unet_decoder, _head_of_mmseg])
def test_real_heads_train_on_weighted_pixels(build):
    labels, weights, samples = _batch()
    head, feats = build(), [torch.randn(2, 1, 3, 4), torch.randn(2, 1, 2, 2)]
    loss = head.loss(feats, samples, train_cfg=None)['loss_ce']
    logits = torch.nn.functional.interpolate(head(feats), size=(6, 8), mode='bilinear', align_corners=False)
    pixels = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction='none')
    torch.testing.assert_close(loss, (pixels * weights).mean())
    loss.backward()
    assert head.conv_seg.weight.grad.abs().sum() > 0


def test_errors():
    labels, weights, samples = _batch()
    logits = torch.randn(2, 3, 6, 8)
    with pytest.raises(ValueError, match='1 of 2 data samples have a gt_weight_map'):
        Head(3).loss_by_feat(logits, [samples[0], _sample(labels[1])])
    with pytest.raises(ValueError, match=r"no loss of loss_decode weights pixels: \['DiceLoss'\]"):
        Head(3, loss_decode=dict(type='mmseg.DiceLoss')).loss_by_feat(logits, samples)
    with pytest.raises(ValueError, match=r'gt_weight_map is \(6, 8\), larger than the label map \(6, 7\)'):
        Head(3).loss_by_feat(logits, [_sample(labels[0, :, :7], weights[0])])


def test_class_weights_beside_ignored_pixels():
    logits, label = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    label[:, 0] = 255
    weights = torch.tensor([1.0, 2.0, 0.5])
    expected = torch.nn.functional.cross_entropy(logits, label, weights, ignore_index=255)
    loss = _cross_entropy(logits, label, class_weight=weights, ignore_index=255)
    torch.testing.assert_close(loss, expected)
