import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from deepunetto_mm.models import FineGrainedHead, HierarchicalClsHead
from deepunetto_mm.structures import TaxonomyError

TAXONOMY = dict(
    classes=['background', 'apple', 'milk'],
    groups=[
        dict(name='apple', members=['apple'], fine_classes=['gala', 'fuji']),
        dict(name='milk', members=['milk'], fine_classes=['arla']),
    ],
)
# The features are the logits: two of the groups, three of the fine classes.
FEATS = (torch.tensor([[2.0, 1.0, 0.0, 1.0, 4.0], [0.0, 1.0, 3.0, 0.0, 0.0]]),)
GENERIC, FINE = FEATS[0][:, :2], FEATS[0][:, 2:]


def _samples(*labels):
    return [DataSample() if label is None else DataSample().set_gt_label(label) for label in labels]


def _head(**options):
    head = HierarchicalClsHead(TAXONOMY, 5, **options)
    with torch.no_grad():
        head.fc.weight.copy_(torch.eye(5)[:2])
        head.fc.bias.zero_()
        head.fine_head.fc.weight.copy_(torch.eye(5)[2:])
        head.fine_head.fc.bias.zero_()
    return head


def test_losses_by_hand():
    losses = _head(loss_weight=0.5).loss(FEATS, _samples(1, 2))
    assert set(losses) == {'generic.loss_cls', 'generic.acc', 'fine.loss_cls', 'fine.acc'}
    torch.testing.assert_close(losses['generic.loss_cls'], 0.5 * F.cross_entropy(GENERIC, torch.tensor([0, 1])))
    # Within its group: gala against fuji, and of milk there is one alone.
    torch.testing.assert_close(losses['fine.loss_cls'], F.cross_entropy(FINE[:1, :2], torch.tensor([1])) / 2)
    assert (losses['generic.acc'], losses['fine.acc']) == (100, 100)


def test_pictures_without_label_count_for_nothing():
    head = _head()
    one, two = head.loss((FEATS[0][:1],), _samples(1)), head.loss(FEATS, _samples(1, None))
    torch.testing.assert_close(one, two)
    none = head.loss(FEATS, _samples(None, None))
    assert all(value == 0 for value in none.values())


def test_a_picture_weighs_the_same_in_whichever_process_it_is(monkeypatch):
    alone = _head().loss(FEATS, _samples(1, 2))
    # Two pictures here, six in another process: four on average.
    monkeypatch.setattr('mmengine.dist.all_reduce', lambda number, op: number.fill_(4))
    shared = _head().loss(FEATS, _samples(1, 2))
    for level in ('generic', 'fine'):
        torch.testing.assert_close(shared[f'{level}.loss_cls'], alone[f'{level}.loss_cls'] / 2)
        assert shared[f'{level}.acc'] == alone[f'{level}.acc']


def test_conditions():
    def predict(condition):
        head = _head(fine_head=dict(type='deepunetto_mm.FineGrainedHead', condition=condition))
        samples = head.predict(FEATS)
        for sample in samples:
            assert sample.pred_label == sample.pred_score.argmax()
        torch.testing.assert_close(torch.stack([s.pred_generic_score for s in samples]), GENERIC.softmax(1))
        return torch.stack([sample.pred_score for sample in samples])

    within, probs = F.pad(FINE[:, :2].softmax(1), (0, 1), value=1.0), GENERIC.softmax(1)[:, [0, 0, 1]]
    hard = torch.tensor([[1.0, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(predict('hard'), within * hard)
    torch.testing.assert_close(predict('soft'), within * probs)
    torch.testing.assert_close(predict('flat'), FINE.softmax(1))


def test_predictions_are_written_to_the_data_samples():
    samples = _samples(1, 2)
    assert [a is b for a, b in zip(_head().predict(FEATS, samples), samples)] == [True, True]
    assert [sample.pred_label.tolist() for sample in samples] == [[1], [2]]


@pytest.mark.parametrize('scope', ['mmseg', 'mmpretrain'])
def test_head_of_an_image_classifier(scope):
    from mmengine.registry import init_default_scope

    init_default_scope(scope)
    model = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=dict(type='MobileNetV3', arch='small'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='deepunetto_mm.HierarchicalClsHead', taxonomy=TAXONOMY, in_channels=576),
        )
    )
    model.init_weights()
    assert isinstance(model.head.fine_head, FineGrainedHead)
    inputs = torch.rand(2, 3, 32, 32)
    loss, _ = model.parse_losses(model(inputs, _samples(0, 2), mode='loss'))
    loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert [tuple(logits.shape) for logits in model(inputs)] == [(2, 2), (2, 3)]
    assert model.extract_feat(inputs, stage='pre_logits').shape == (2, 576)
    # Without the neck the head averages by itself.
    model.eval()
    pooled, feats = model(inputs), model.head(model.extract_feat(inputs, stage='backbone'))
    torch.testing.assert_close(feats, pooled)


def test_mixed_pictures_have_no_group():
    with pytest.raises(ValueError, match='train_cfg.augments'):
        _head().loss(FEATS, [DataSample().set_gt_score(torch.tensor([0.5, 0.5, 0])) for _ in range(2)])


def test_checkpoints_carry_the_taxonomy():
    groups = [dict(TAXONOMY['groups'][0], fine_classes=['fuji', 'gala']), TAXONOMY['groups'][1]]
    with pytest.raises(TaxonomyError, match='another taxonomy'):
        HierarchicalClsHead(dict(TAXONOMY, groups=groups), 5).load_state_dict(_head().state_dict())
