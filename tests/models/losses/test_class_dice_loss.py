import pytest
import torch
from mmengine import dist
from mmseg.registry import MODELS

from deepunetto_mm.models import ClassDiceLoss

LABEL = torch.tensor([[[0, 0, 1]], [[1, 1, 255]]])


def _logits(probs):
    """(N, 1, W, C) to (N, C, 1, W)."""
    return torch.tensor(probs).log().permute(0, 3, 1, 2)


LOGITS = _logits(
    [[[[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.3, 0.5, 0.2]]], [[[0.1, 0.7, 0.2], [0.2, 0.8, 0.0], [1, 0, 0]]]]
)


def test_by_hand_over_the_classes_that_the_batch_contains():
    first = (2 * (0.8 + 0.6) + 1) / ((0.8 + 0.6 + 0.3 + 0.1 + 0.2) + 2 + 1)
    second = (2 * (0.5 + 0.7 + 0.8) + 1) / ((0.1 + 0.2 + 0.5 + 0.7 + 0.8) + 3 + 1)
    torch.testing.assert_close(ClassDiceLoss()(LOGITS, LABEL).item(), 1 - (first + second) / 2)
    torch.testing.assert_close(
        ClassDiceLoss(smooth=0.0, loss_weight=2.0)(LOGITS, LABEL).item(), 2 - (2.8 / 4 + 4 / 5.3)
    )


def test_one_channel_is_the_second_of_two_classes():
    logits, label = torch.randn(2, 1, 4, 5), torch.randint(0, 2, (2, 4, 5))
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(ClassDiceLoss()(logits, label), ClassDiceLoss()(two, label))


def test_every_second_pixel():
    only = ClassDiceLoss(stride=2)(LOGITS, LABEL)
    assert only == ClassDiceLoss()(LOGITS[..., ::2], LABEL[..., ::2])


def test_perfect_is_zero_and_nothing_to_learn_is_zero_with_a_gradient():
    sure = 1000 * torch.nn.functional.one_hot(LABEL.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    assert ClassDiceLoss()(sure, LABEL) == 0
    logits = LOGITS.clamp(min=-9).requires_grad_()
    loss = ClassDiceLoss()(logits, torch.full_like(LABEL, 255))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_two_processes_compute_what_one_does(monkeypatch):
    """Each sees one picture; its gradient, averaged over both, is half of the sum."""
    one = LOGITS.clamp(min=-9).requires_grad_()
    expected = ClassDiceLoss()(one, LABEL)
    expected.backward()
    sums = []
    monkeypatch.setattr(dist, 'all_reduce', lambda data, op: sums.append(data.clone()))
    for i in range(2):
        ClassDiceLoss()(LOGITS[i : i + 1].clamp(min=-9), LABEL[i : i + 1])
    monkeypatch.setattr(dist, 'all_reduce', lambda data, op: data.copy_(sum(sums)))
    monkeypatch.setattr(dist, 'get_world_size', lambda: 2)
    for i in range(2):
        logits = LOGITS[i : i + 1].clamp(min=-9).requires_grad_()
        loss = ClassDiceLoss()(logits, LABEL[i : i + 1])
        loss.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(logits.grad / 2, one.grad[i : i + 1])


def test_wrong_stride():
    with pytest.raises(ValueError, match='stride must be at least 1, got 0'):
        MODELS.build(dict(type='deepunetto_mm.ClassDiceLoss', stride=0))


def test_two_of_them_have_their_own_names(mmseg_scope):
    losses = [dict(type='deepunetto_mm.ClassDiceLoss', **options) for options in ({}, dict(loss_name='loss_coarse'))]
    head = MODELS.build(dict(type='FCNHead', in_channels=4, channels=4, num_classes=3, loss_decode=losses))
    assert [loss.loss_name for loss in head.loss_decode] == ['loss_dice', 'loss_coarse']
