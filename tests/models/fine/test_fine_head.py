import pytest
import torch

from deepunetto_mm.models.fine.fine_head import FineHead, allowed_names, condition_scores, pool_last
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['sky', 'dog', 'cat'],
        groups=[
            dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
            dict(name='cat', members=['cat'], fine_classes=['tabby']),
        ],
    )
)
ALLOWED = torch.tensor([[True, True, False], [False, False, True]])
# Odds 1 : 3 : 4.
LOGITS = torch.tensor([[1.0, 3.0, 4.0]]).log()
PROBS = torch.tensor([[0.2, 0.6]])


def test_the_last_map_is_averaged():
    maps = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[0.0, 0.0], [0.0, 4.0]]]])
    assert pool_last([torch.zeros(1, 9, 4, 4), maps]).tolist() == [[4.0, 1.0]]
    assert pool_last([torch.tensor([[2.0, 5.0]])]).tolist() == [[2.0, 5.0]]
    assert pool_last([torch.zeros(0, 2, 3, 3)]).shape == (0, 2)


def test_names_that_each_group_allows():
    assert torch.equal(allowed_names(TAXONOMY), ALLOWED)


@pytest.mark.parametrize(
    ('condition', 'label', 'expected'),
    [
        ('flat', 0, [0.125, 0.375, 0.5]),
        ('hard', 0, [0.25, 0.75, 0.0]),
        ('hard', 1, [0.0, 0.0, 1.0]),
        ('soft', 0, [0.05, 0.15, 0.6]),  # whatever the label: 0.2 * 1/4, 0.2 * 3/4, 0.6 * 1
    ],
)
def test_scores(condition, label, expected):
    scores = condition_scores(LOGITS, torch.tensor([label]), PROBS, ALLOWED, condition)
    torch.testing.assert_close(scores, torch.tensor([expected]))


@pytest.mark.parametrize('condition', ['flat', 'hard', 'soft'])
def test_no_region(condition):
    none = torch.zeros(0, dtype=torch.long)
    assert condition_scores(LOGITS[:0], none, PROBS[:0], ALLOWED, condition).shape == (0, 3)


class _OwnHead(FineHead):
    """A head of one's own, in one method: its features are its logits."""

    def forward(self, feats):
        return pool_last(feats)


def test_a_temperature_makes_predictions_less_sure_and_leaves_the_loss():
    head = _OwnHead(TAXONOMY, 'flat', temperature=2.0)
    roots = torch.tensor([[1.0, 3.0, 4.0]]).sqrt()
    scores = head.predict([LOGITS], torch.tensor([0]), PROBS)
    torch.testing.assert_close(scores, roots / roots.sum())
    losses = [one.loss([LOGITS], torch.tensor([0]), torch.tensor([1])) for one in (head, _OwnHead(TAXONOMY, 'flat'))]
    assert losses[0]['loss_cls'] == losses[1]['loss_cls'] > 0
    with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
        _OwnHead(TAXONOMY, temperature=0)


def test_a_head_of_ones_own_is_its_forward():
    head = _OwnHead(TAXONOMY, loss_weight=0.5)
    labels, fine = torch.tensor([0, 0, 1]), torch.tensor([0, -1, 2])
    losses = head.loss([LOGITS.expand(3, 3)], labels, fine)
    # Within its group the first is right by 1 of 4, the tabby by itself, and the second is not annotated.
    torch.testing.assert_close(losses['loss_cls'], 0.5 * torch.tensor(4.0).log() / 2)
    assert losses['acc'] == 50
    scores = head.predict([LOGITS], labels[:1], PROBS)
    torch.testing.assert_close(scores, torch.tensor([[0.25, 0.75, 0.0]]))
    none = torch.zeros(0, dtype=torch.long)
    feats = torch.zeros(0, 3, requires_grad=True)
    empty = head.loss([feats], none, none)
    assert empty == dict(loss_cls=0, acc=0)
    empty['loss_cls'].backward()
    assert feats.grad is not None
    with pytest.raises(ValueError, match="condition must be one of .*, got 'maybe'"):
        _OwnHead(TAXONOMY, condition='maybe')
