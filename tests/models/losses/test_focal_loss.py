import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torchvision.ops import sigmoid_focal_loss

from deepunetto_mm.models import FocalLoss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.0]]).T.reshape(1, 3, 2, 2)
LABEL = torch.tensor([[[0, 1], [2, 255]]])


def test_without_focus_it_is_cross_entropy():
    expected = F.cross_entropy(LOGITS, LABEL, ignore_index=255)
    torch.testing.assert_close(FocalLoss(gamma=0.0)(LOGITS, LABEL), expected)


def test_by_hand():
    probs = LOGITS.softmax(1)[0]
    p = torch.stack([probs[0, 0, 0], probs[1, 0, 1], probs[2, 1, 0]])
    expected = -((1 - p) ** 2 * p.log())
    torch.testing.assert_close(FocalLoss()(LOGITS, LABEL), expected.mean())
    weighted = FocalLoss(class_weight=[1.0, 2.0, 3.0], loss_weight=0.5)(LOGITS, LABEL)
    torch.testing.assert_close(weighted, 0.5 * (expected * torch.tensor([1.0, 2.0, 3.0])).mean())
    chosen = FocalLoss()(LOGITS, LABEL, weight=torch.tensor([[[0.0, 1.0], [2.0, 5.0]]]))
    torch.testing.assert_close(chosen, (expected * torch.tensor([0.0, 1.0, 2.0])).mean())


def test_of_two_classes_it_is_torchvisions_sigmoid_loss_of_the_difference():
    logits, label = torch.randn(2, 2, 5, 6), torch.randint(0, 2, (2, 5, 6))
    expected = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], label.float(), alpha=-1, gamma=1.5, reduction='mean')
    torch.testing.assert_close(FocalLoss(gamma=1.5)(logits, label), expected)
    torch.testing.assert_close(FocalLoss(gamma=1.5)(logits[:, 1:] - logits[:, :1], label), expected)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_gradients_are_finite_where_the_network_is_sure(gamma):
    logits = torch.tensor([[300.0, 0.0], [0.0, 300.0]]).T.reshape(1, 2, 1, 2).requires_grad_()
    loss = FocalLoss(gamma=gamma)(logits, torch.tensor([[[0, 0]]]))
    loss.backward()
    torch.testing.assert_close(loss.item(), 150.0)
    assert torch.isfinite(logits.grad).all()


def test_nothing_counted_is_zero():
    logits = LOGITS.clone().requires_grad_()
    loss = FocalLoss()(logits, torch.full_like(LABEL, 255))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_gamma_is_not_negative():
    with pytest.raises(ValueError, match='gamma must be at least 0, got -1'):
        FocalLoss(gamma=-1)


def test_is_built_by_decode_heads(mmseg_scope):
    head = MODELS.build(
        dict(
            type='FCNHead',
            in_channels=4,
            channels=4,
            num_classes=3,
            loss_decode=[dict(type='CrossEntropyLoss'), dict(type='deepunetto_mm.FocalLoss', loss_weight=2.0)],
        )
    )
    assert [loss.loss_name for loss in head.loss_decode] == ['loss_ce', 'loss_focal']
