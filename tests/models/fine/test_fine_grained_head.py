import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepunetto_mm.models import FineGrainedHead

TAXONOMY = dict(
    classes=['sky', 'dog', 'cat'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer', 'collie']),
        dict(name='cat', members=['cat'], fine_classes=['tabby', 'manx']),
    ],
)
LOGITS = torch.tensor([[2.0, 0.0, 1.0, 5.0, -1.0], [0.0, 3.0, 0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 1, 0])
FINE = torch.tensor([0, 4, -1])


def _head(**options) -> FineGrainedHead:
    """A head whose logits are its features."""
    head = FineGrainedHead(TAXONOMY, 5, **options)
    with torch.no_grad():
        head.fc.weight.copy_(torch.eye(5))
        if head.fc.bias is not None:
            head.fc.bias.zero_()
    return head


def test_loss_among_the_children_of_the_group():
    losses = _head().loss([LOGITS], LABELS, FINE)
    first = -2 + math.log(math.exp(2) + math.exp(0) + math.exp(1))
    second = -2 + math.log(math.exp(1) + math.exp(2))
    assert losses['loss_cls'].item() == pytest.approx((first + second) / 2, rel=1e-5)
    assert losses['acc'].item() == 100.0  # flat, both would be wrong


def test_flat_loss_is_cross_entropy():
    losses = _head(loss_scope='flat', label_smoothing=0.2).loss([LOGITS], LABELS, FINE)
    expected = F.cross_entropy(LOGITS[:2], FINE[:2], label_smoothing=0.2)
    torch.testing.assert_close(losses['loss_cls'], expected)
    assert losses['acc'].item() == 100.0  # as regions are named: among the children of the group
    assert _head(loss_scope='flat', condition='flat').loss([LOGITS], LABELS, FINE)['acc'].item() == 0.0


def test_smoothing_stays_among_the_children():
    loss = _head(label_smoothing=0.3).loss([LOGITS[:1]], LABELS[:1], FINE[:1])['loss_cls']
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS[:1, :3], FINE[:1], label_smoothing=0.3))


def test_class_weights():
    weight = [1.0, 2.0, 3.0, 4.0, 5.0]
    loss = _head(loss_scope='flat', class_weight=weight).loss([LOGITS], LABELS, FINE)['loss_cls']
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS[:2], FINE[:2], weight=torch.tensor(weight)))


def test_logit_adjustment_is_for_training_only():
    head = _head(class_counts=[10, 30, 60, 1, 99], adjustment=1.0)
    prior = (torch.tensor([10.0, 30, 60, 1, 99]) / 200).log()
    loss = head.loss([LOGITS[:1]], LABELS[:1], FINE[:1])['loss_cls']
    torch.testing.assert_close(loss, F.cross_entropy((LOGITS + prior)[:1, :3], FINE[:1]))
    best = LOGITS[:1, :3].argmax(1)
    assert best != (LOGITS + prior)[:1, :3].argmax(1)
    assert head.loss([LOGITS[:1]], LABELS[:1], best)['acc'] == 100  # as regions are named in test
    scores = head.predict([LOGITS[:1]], LABELS[:1], torch.ones(1, 2))
    torch.testing.assert_close(scores[0, :3], LOGITS[0, :3].softmax(0))


@pytest.mark.parametrize('regions', [0, 1])
def test_nothing_annotated_gives_zero_that_reaches_every_parameter(regions):
    head = FineGrainedHead(TAXONOMY, 5, label_smoothing=0.1)
    losses = head.loss([torch.randn(regions, 5, 2, 2)], LABELS[:regions], torch.full((regions,), -1))
    assert losses['loss_cls'].item() == 0.0
    assert losses['acc'].item() == 0.0
    losses['loss_cls'].backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_cosine():
    head = FineGrainedHead(TAXONOMY, 2, classifier='cosine', scale=10.0)
    with torch.no_grad():
        head.fc.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0], [0.0, -1.0]]))
    torch.testing.assert_close(
        head([torch.tensor([[5.0, 0.0]])]), torch.tensor([[10.0, 0.0, -10.0, 10 / math.sqrt(2), 0.0]])
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classifier='mlp'), 'classifier'),
        (dict(loss_scope='parent'), 'loss_scope'),
        (dict(condition='maybe'), 'condition'),
        (dict(class_weight=[1.0]), 'class_weight'),
        (dict(adjustment=1.0), 'class_counts'),
        (dict(adjustment=1.0, class_counts=[0, 1, 1, 1, 1]), 'class_counts'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        FineGrainedHead(TAXONOMY, 5, **options)


def test_parameters_are_only_those_of_the_classifier():
    assert set(FineGrainedHead(TAXONOMY, 5).state_dict()) == {'fc.weight', 'fc.bias'}
    assert isinstance(FineGrainedHead(TAXONOMY, 5).fc, nn.Linear)


def test_with_one_group_flat_and_within_the_group_are_the_same():
    taxonomy = dict(classes=['a', 'b'], groups=[dict(name='b', members=['b'], fine_classes=['x', 'y', 'z'])])
    flat = FineGrainedHead(taxonomy, 5, loss_scope='flat', condition='flat', label_smoothing=0.1)
    group = FineGrainedHead(taxonomy, 5, label_smoothing=0.1)
    group.load_state_dict(flat.state_dict())
    labels, fine = torch.zeros(3, dtype=torch.long), torch.tensor([2, 0, -1])
    assert torch.equal(flat.loss([LOGITS], labels, fine)['loss_cls'], group.loss([LOGITS], labels, fine)['loss_cls'])
    assert torch.equal(
        flat.predict([LOGITS], labels, torch.ones(3, 1)), group.predict([LOGITS], labels, torch.ones(3, 1))
    )
