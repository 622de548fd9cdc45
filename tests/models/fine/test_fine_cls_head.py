import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.losses import CrossEntropyLoss
from mmpretrain.registry import MODELS as CLASSIFIER_PARTS
from mmpretrain.structures import DataSample

from deepunetto_mm.models import FineClsHead, FineGrainedHead
from deepunetto_mm.structures import TaxonomyError

TAXONOMY = dict(
    classes=['ground', 'dog', 'cat'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer', 'pug']),
        dict(name='cat', members=['cat'], fine_classes=['tabby', 'manx']),
    ],
)
LINEAR, ARCFACE = dict(type='LinearClsHead', in_channels=4), dict(type='ArcFaceClsHead', in_channels=4, scale=8.0)
FEATS = [torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(3))]
LABELS, FINE = torch.tensor([0, 1, 0]), torch.tensor([1, 4, -1])

# In a config of mmseg, mmseg's CrossEntropyLoss must not be taken for mmpretrain's.
pytestmark = pytest.mark.usefixtures('mmseg_scope')
each_head = pytest.mark.parametrize('config', [LINEAR, ARCFACE], ids=lambda config: config['type'])


def _head(config=LINEAR, **options):
    head = FineClsHead(TAXONOMY, config, **options)
    head.init_weights()
    return head


@each_head
def test_losses_are_the_heads_own_over_annotated_regions(config):
    ours = _head(config)
    assert type(ours.head.loss_module) is CrossEntropyLoss
    theirs = CLASSIFIER_PARTS.build(dict(config, num_classes=5, _scope_='mmpretrain'))
    theirs.load_state_dict(ours.head.state_dict())
    losses = ours.loss(FEATS, LABELS, FINE)
    assert set(losses) == {'loss_cls', 'acc'}
    samples = [DataSample().set_gt_label(1), DataSample().set_gt_label(4)]
    torch.testing.assert_close(losses['loss_cls'], theirs.loss((FEATS[0].mean((2, 3))[:2],), samples)['loss'])
    losses['loss_cls'].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ours.parameters())


def test_a_linear_head_is_a_flat_fine_grained_head():
    plain = FineGrainedHead(TAXONOMY, 4, loss_scope='flat', condition='hard')
    ours = _head()
    ours.head.fc.load_state_dict(plain.fc.state_dict())
    torch.testing.assert_close(ours.loss(FEATS, LABELS, FINE), plain.loss(FEATS, LABELS, FINE))
    probs = torch.tensor([[0.3, 0.6], [0.5, 0.5], [1.0, 0.0]])
    for condition in ('hard', 'soft', 'flat'):
        ours.condition = plain.condition = condition
        torch.testing.assert_close(ours.predict(FEATS, LABELS, probs), plain.predict(FEATS, LABELS, probs))


def test_accuracy_is_that_of_the_names():
    head = _head()
    with torch.no_grad():
        head.head.fc.weight.zero_()
        head.head.fc.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 3.0, 2.0]))
    # Of the dogs the boxer, of all the tabby.
    assert head.loss(FEATS, LABELS, FINE)['acc'] == 50
    head.condition = 'flat'
    assert head.loss(FEATS, LABELS, FINE)['acc'] == 0


def test_batch_norms_count_a_batch_once_and_take_a_single_region():
    norm = dict(type='BN1d')
    head = _head(dict(type='StackedLinearClsHead', in_channels=4, mid_channels=[6], norm_cfg=norm)).train()
    layer = next(module for module in head.modules() if isinstance(module, torch.nn.BatchNorm1d))
    head.loss(FEATS, LABELS, FINE)
    assert layer.num_batches_tracked == 1
    mean = layer.running_mean.clone()
    for number in (0, 1):
        feats = [FEATS[0][:number].clone().requires_grad_()]
        losses = head.loss(feats, LABELS[:number], FINE[:number])
        losses['loss_cls'].backward()
        assert (losses['loss_cls'] > 0) == bool(number)
        assert all(parameter.grad is not None for parameter in head.parameters())
        assert torch.equal(layer.running_mean, mean)
    # By the running means, as in a test.
    expected = F.cross_entropy(head.eval()(feats), FINE[:1])
    torch.testing.assert_close(losses['loss_cls'], expected)


def test_the_margin_is_for_training_only():
    head = _head(ARCFACE, condition='flat')
    x, weight = F.normalize(FEATS[0].mean((2, 3))), F.normalize(head.head.norm_product.weight)
    torch.testing.assert_close(head(FEATS), 8.0 * x @ weight.T)
    assert head.loss(FEATS[:1], LABELS, FINE)['loss_cls'] > F.cross_entropy(head(FEATS)[:2], FINE[:2])
    torch.testing.assert_close(head.predict(FEATS, LABELS, None), head(FEATS).softmax(1))


@each_head
@pytest.mark.parametrize('regions', [0, 2])
def test_nothing_annotated_gives_zero_that_reaches_every_parameter(config, regions):
    head, feats = _head(config), torch.randn(regions, 4, 2, 2, requires_grad=True)
    losses = head.loss([feats], LABELS[:regions], torch.full((regions,), -1))
    assert losses == dict(loss_cls=0, acc=0)
    losses['loss_cls'].backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())
    assert feats.grad is not None
    assert head.predict([feats], LABELS[:regions], torch.ones(regions, 2)).shape == (regions, 5)


def test_a_region_weighs_the_same_in_whichever_process_it_is(monkeypatch):
    head = _head()
    alone = head.loss(FEATS, LABELS, FINE)
    # Two regions here, six in another process: four on average.
    monkeypatch.setattr('mmengine.dist.all_reduce', lambda number, op: number.fill_(4))
    shared = head.loss(FEATS, LABELS, FINE)
    torch.testing.assert_close(shared['loss_cls'], alone['loss_cls'] / 2)
    assert shared['acc'] == alone['acc']


def test_errors():
    with pytest.raises(TaxonomyError, match='LinearClsHead has num_classes=4, but the taxonomy has 5 fine classes'):
        _head(dict(LINEAR, num_classes=4))
    with pytest.raises(ValueError, match="condition must be one of .*, got 'maybe'"):
        _head(condition='maybe')


def test_class_weights_of_another_number_are_refused():
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match=r'class_weight of LinearClsHead .* each of the 5 fine classes .* got 2'):
        _head(dict(LINEAR, loss=loss))
