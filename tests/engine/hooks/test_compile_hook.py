import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import turn_on_activation_checkpointing
from torch import nn

from deepunetto_mm.registry import HOOKS


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.weight * x


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone, self.decode_head, self.other = Network(), nn.Sequential(Network()), Network()

    def forward(self, x):
        return self.decode_head(self.backbone(x))


@pytest.fixture
def graphs():
    """Sizes of what was compiled."""
    torch._dynamo.reset()
    return []


@pytest.fixture
def start(graphs):
    """``start(model, ...)``: what the hook does before training; it is returned."""

    def backend(graph, inputs):
        graphs.append([tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor) and x.dim()])
        return graph.forward

    def run(model, **options):
        hook = HOOKS.build(dict(type='deepunetto_mm.CompileHook', backend=backend, fullgraph=True, **options))
        hook.before_train(SimpleNamespace(model=model))
        return hook

    return run


def test_the_networks_are_compiled_where_they_are(start, graphs):
    model = Model()
    names = list(model.state_dict())
    start(model)
    assert model(torch.ones(3)).tolist() == [4.0] * 3
    assert graphs == [[(3,)], [(3,)]]
    assert list(model.state_dict()) == names
    assert 'forward' not in vars(model.other)
    model.load_state_dict({name: torch.tensor(3.0) for name in names})
    assert model(torch.ones(3)).tolist() == [9.0] * 3
    assert len(graphs) == 2


def test_a_first_size_may_be_a_variable_already(start, graphs):
    """With ``dynamic=True``; by default a second size makes it one, with False each has a graph of its own."""
    for dynamic, number in ((True, 1), (None, 2), (False, 3)):
        torch._dynamo.reset()
        graphs.clear()
        model = Model()
        start(model, dynamic=dynamic, parts=['backbone'])
        for size in (3, 4, 5):
            model(torch.ones(size))
        assert len(graphs) == number


def test_a_decode_head_whose_features_dense_heads_read_is_compiled_up_to_them(start, graphs):
    class Head(Network):
        def forward_features(self, x):
            return self.weight * x

    model = Model()
    model.decode_head, model.dense_heads = Head(), nn.ModuleDict(dict(borders=Network()))
    start(model)
    assert model.decode_head.forward_features(torch.ones(3)).tolist() == [2.0] * 3
    assert graphs == [[(3,)]]
    assert 'forward' not in vars(model.decode_head)


def test_a_decode_head_without_a_method_for_its_features_stays_as_it_is(start, graphs):
    model = Model()
    model.decode_head, model.dense_heads = Network(), nn.ModuleDict(dict(borders=Network()))
    start(model)
    assert model.decode_head(torch.ones(3)).tolist() == [2.0] * 3
    assert graphs == []
    assert 'forward' not in vars(model.decode_head)
    assert 'forward' in vars(model.backbone)


def test_any_number_of_crops_is_one_graph_more(start, graphs):
    model = Model()
    start(model, parts=['backbone'])
    for number in (3, 5, 7, 4):
        assert model.backbone(torch.ones(number, 2)).shape == (number, 2)
    assert len(graphs) == 2


def test_evaluation_and_empty_batches_are_not_compiled(start, graphs):
    model = Model()
    start(model)
    assert model(torch.ones(0, 2)).shape == (0, 2)
    model.eval()
    assert model(torch.ones(3)).tolist() == [4.0] * 3
    assert graphs == []


def test_a_copy_runs_its_own_weights(start):
    model = Model()
    start(model)
    other = copy.deepcopy(model)
    nn.init.constant_(other.backbone.weight, 5.0)
    for network in (model, other):
        network(torch.ones(3)).sum().backward()
    assert (model.backbone.weight.grad, other.backbone.weight.grad) == (6.0, 6.0)
    assert other(torch.ones(1)) == 10.0
    assert model(torch.ones(1)) == 4.0


def test_parts_may_be_deeper_and_the_model_wrapped(start, monkeypatch):
    monkeypatch.setattr(MMDistributedDataParallel, '__init__', lambda self, module: nn.Module.__init__(self))
    wrapper = MMDistributedDataParallel(None)
    wrapper.module = Model()
    start(wrapper, parts=['decode_head.0'])
    assert 'forward' in vars(wrapper.module.decode_head[0])
    assert 'forward' not in vars(wrapper.module.backbone)


def test_a_second_training_changes_nothing(start):
    model = Model()
    hook = start(model)
    forward = vars(model.backbone)['forward']
    hook.before_train(SimpleNamespace(model=model))
    assert vars(model.backbone)['forward'] is forward


def test_what_does_not_fit_is_named_before_anything_is_changed(start):
    model = Model()
    with pytest.raises(ValueError, match=r"Model has no \['neck'\]; its parts are .*'backbone', 'decode_head'"):
        start(model, parts=['backbone', 'neck'])
    turn_on_activation_checkpointing(model, 'decode_head')
    with pytest.raises(ValueError, match='forward of decode_head was replaced already.*activation_checkpointing'):
        start(model)
    assert 'forward' not in vars(model.backbone)
