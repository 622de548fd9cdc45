import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepunetto_mm.models.segmentors import DeepUNettoTTA
from deepunetto_mm.ops.inference import prepared_for_inference


class Segmentor(nn.Module):
    """A network with the interface of a segmentor; ``heads`` is how often a convolution's output is read."""

    def __init__(self, heads=1):
        super().__init__()
        self.heads = heads
        self.decode_head = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.BatchNorm2d(1))
        with torch.no_grad():
            self.decode_head[0].weight.copy_(torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1))
        norm = self.decode_head[1]
        norm.running_mean.fill_(3.0)
        norm.running_var.fill_(4.0 - norm.eps)
        nn.init.constant_(norm.weight, 6.0)
        nn.init.constant_(norm.bias, 5.0)

    def forward(self, inputs, mode='tensor'):
        convolved = self.decode_head[0](inputs)
        return sum([self.decode_head[1](convolved), *[convolved] * (self.heads - 1)])


def _norms(model):
    return sum(isinstance(module, _BatchNorm) for module in model.modules())


def test_folded_weights_by_hand():
    folded = prepared_for_inference(Segmentor())
    assert _norms(folded) == 0
    # (w x - 3) * 6 / 2 + 5 = 3 w x - 4
    assert folded.decode_head[0].weight.flatten().tolist() == [3.0, 6.0, 12.0]
    assert folded.decode_head[0].bias.tolist() == [-4.0]


def test_a_convolution_that_is_read_twice_keeps_its_batch_norm(monkeypatch):
    warnings = []
    monkeypatch.setattr('deepunetto_mm.ops.inference.print_log', lambda text, *_: warnings.append(text))
    model = Segmentor(heads=2).eval()
    kept = prepared_for_inference(model)
    assert _norms(kept) == 1
    assert len(warnings) == 1
    assert 'batch norms' in warnings[0]
    inputs = torch.rand(1, 3, 5, 7)
    torch.testing.assert_close(kept(inputs), model(inputs))


@MODELS.register_module()
class ReadTwice(nn.Module):
    """Its batch norm is not all that reads its convolution."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)

    def forward(self, x):
        convolved = self.convolution(x)
        return [convolved + self.norm(convolved)]


def test_a_fine_backbone_whose_convolution_is_read_twice_keeps_its_batch_norm(repository, mmseg_scope, monkeypatch):
    warnings = []
    monkeypatch.setattr('deepunetto_mm.ops.inference.print_log', lambda text, *_: warnings.append(text))
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py').model
    cfg.fine_backbone = dict(type='ReadTwice')
    model = MODELS.build(cfg)
    model.fine_backbone.norm.running_mean.fill_(1.0)
    kept = prepared_for_inference(model)
    assert len(warnings) == 1
    assert isinstance(kept.fine_backbone.norm, nn.BatchNorm2d)


def test_statistics_of_the_batch_stay():
    model = Segmentor()
    model.decode_head[1] = nn.BatchNorm2d(1, track_running_stats=False)
    assert _norms(prepared_for_inference(model)) == 1


@pytest.fixture
def tiny(repository, mmseg_scope):
    """The tiny network with statistics other than 0 and 1, still in training mode."""
    model = MODELS.build(Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py').model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


def test_a_whole_network_predicts_the_same(tiny):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    state = torch.get_rng_state()
    folded = prepared_for_inference(tiny)
    assert torch.equal(torch.get_rng_state(), state)
    assert tiny.training
    assert not folded.training
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    # The cones have group norm.
    assert _norms(folded) == 0
    assert _norms(tiny) > 20
    inputs = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected, found = tiny.eval().predict(inputs), folded.predict(inputs)
    for a, b in zip(expected, found):
        assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert torch.equal(a.pred_region_map.data, b.pred_region_map.data)
        torch.testing.assert_close(a.pred_regions.fine_scores, b.pred_regions.fine_scores, rtol=1e-3, atol=1e-5)


def test_weights_in_bfloat16_predict_what_autocast_predicts(tiny):
    plain, cast = prepared_for_inference(tiny), prepared_for_inference(tiny, bf16=True)
    assert {m.weight.dtype for m in cast.modules() if isinstance(m, nn.Conv2d)} == {torch.bfloat16}
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        expected, found = (model(torch.ones(1, 3, 64, 96), mode='tensor') for model in (plain, cast))
    assert all(torch.equal(*pair) for pair in zip(expected, found))


def test_the_network_inside_test_time_augmentation(tiny):
    views = prepared_for_inference(DeepUNettoTTA(tiny))
    assert _norms(views.module) == 0
    assert _norms(tiny) > 20


def test_a_batch_norm_that_contains_an_activation_keeps_it():
    norm_act = pytest.importorskip('timm.layers').BatchNormAct2d

    class Small(Segmentor):
        def __init__(self):
            super().__init__()
            self.decode_head[1] = norm_act(1)

    model = Small().eval()
    model.decode_head[1].running_mean.fill_(3.0)
    folded = prepared_for_inference(model)
    inputs = torch.rand(1, 3, 6, 6)
    expected = F.relu(
        ((inputs * torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1)).sum(1, keepdim=True) - 3) / (1 + 1e-5) ** 0.5
    )
    assert _norms(folded) == 0
    torch.testing.assert_close(folded(inputs), expected)
