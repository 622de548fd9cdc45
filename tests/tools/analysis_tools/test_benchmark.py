import pytest
import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from deepunetto_mm.engine import BFloat16Hook, CompileHook
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

CELLS = dict(
    classes=['background', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['round', 'long'])]
)


@pytest.fixture
def tool(load_module):
    return load_module('tools/analysis_tools/benchmark.py')


def test_counts_what_a_config_costs(tool, repository, tmp_path, mmseg_scope):
    from mmseg.registry import MODELS

    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    # Of fewer channels torch 2.14 may crash: see ChannelsLastHook.
    cfg.model.backbone.backbone.update(stem_channels=16, base_channels=16)
    cfg.model.decode_head.in_channels = [16, 32, 64, 128]
    cfg.model.fine_backbone.update(stem_channels=16, base_channels=16)
    cfg.model.fine_head.in_channels = 128
    path = str(tmp_path / 'config.py')
    cfg.dump(path)
    cost = tool.measure(path, (64, 96), regions=3, repeats=1, channels_last=True)
    model = MODELS.build(Config.fromfile(path).model)
    assert cost['parameters'] * 1e6 == sum(p.numel() for p in model.parameters())
    assert min(cost['segment'], cost['name'], cost['step']) > 0
    # Convolutions alone, so that a picture twice as wide costs twice as much.
    twice = tool.measure(path, (64, 192), regions=0, repeats=1, channels_last=False)
    assert twice['gflop'] == pytest.approx(2 * cost['gflop'])
    assert twice['name'] == 0
    assert twice['gflop_names'] == 0
    # Three crops through the fine backbone, and a linear layer of 128 inputs.
    crops = torch.zeros(3, cfg.model.fine_backbone.in_channels, *[cfg.model.crop_neck.output_size] * 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.fine_backbone(crops)
    head = 2 * 3 * 128 * len(model.taxonomy.fine_classes)
    assert cost['gflop_names'] * 1e9 == pytest.approx(counter.get_total_flops() + head)


def test_counts_crops_beside_a_map_of_names_that_correct_the_group(tool, repository, tmp_path, mmseg_scope):
    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    names = dict(type='deepunetto_mm.FineMapHead', in_channels=[32, 64], in_index=(2, 3), channels=8)
    cfg.model.update(dense_heads=dict(names=names), region_names='names.logits')
    cfg.model.fine_head.update(loss_scope='flat', condition='flat')
    path = str(tmp_path / 'config.py')
    cfg.dump(path)
    for regions, named in ((3, True), (0, False)):
        cost = tool.measure(path, (64, 64), regions=regions, repeats=1, channels_last=False)
        assert (cost['name'] > 0) == named
        assert cost['step'] > 0


def test_the_step_may_be_compiled(tool, repository, monkeypatch):
    monkeypatch.setattr('deepunetto_mm.engine.CompileHook', lambda: CompileHook(backend='eager', parts=['decode_head']))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    path = str(repository / 'tests' / 'data' / 'tiny_config.py')
    assert tool.measure(path, (64, 64), regions=2, repeats=1, channels_last=False, compiled=True)['step'] > 0
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1


def test_the_step_may_be_in_bfloat16(tool, repository, monkeypatch):
    seen = []
    plain = BFloat16Hook.before_train
    monkeypatch.setattr(BFloat16Hook, 'before_train', lambda self, runner: (seen.append(runner), plain(self, runner)))
    path = str(repository / 'tests' / 'data' / 'tiny_config.py')
    assert tool.measure(path, (64, 64), regions=2, repeats=1, channels_last=False, bf16=True)['step'] > 0
    with seen[0].optim_wrapper.optim_context(seen[0].model):
        assert (torch.rand(2, 2) @ torch.rand(2, 2)).dtype == torch.bfloat16


def test_regions_lie_side_by_side(tool):
    found, region_map = tool._boxes((64, 96), 13)
    assert found.bboxes[12].tolist() == [0, 8, 8, 16]
    assert (region_map == 13).sum() == 64
    found, region_map = tool._boxes((64, 96), 97)  # no room for squares of 8: 9 rows of squares of 7
    assert found.bboxes[96].tolist() == [35, 49, 42, 56]
    assert (region_map == 97).sum() == 49
    with pytest.raises(ValueError, match='--regions must be at most 384 for this size, got 385'):
        tool._boxes((64, 96), 385)


def test_regions_are_found_in_the_maps_of_a_perfect_network(tool):
    taxonomy = Taxonomy.from_dict(CELLS)
    found, region_map = tool._boxes((64, 96), 13)
    channels = {'logits': 2, 'centres.heat': 1, 'centres.vectors': 2}
    painted = {name: torch.zeros(1, number, 2, 2) for name, number in channels.items()}
    maps = tool._perfect_maps(painted, taxonomy, found, region_map)
    # The second square, columns 8 to 15 of rows 0 to 7: its centre is (11.5, 3.5).
    assert maps['centres.vectors'][0, :, 7, 8].tolist() == [3.5, -3.5]
    assert maps['centres.vectors'][0, :, 60, 90].tolist() == [0, 0]  # of no square
    kinds = {name: name.split('.')[-1] for name in channels}
    proposer = MODELS.build(dict(type='deepunetto_mm.CentreOffsetProposer', taxonomy=taxonomy))
    (regions,), own = proposer(Maps(maps, kinds, taxonomy))
    assert torch.equal(own.long(), region_map)
    assert torch.equal(regions.bboxes, found.bboxes)


def test_no_step_is_measured_of_no_picture(tool, repository):
    path = str(repository / 'tests' / 'data' / 'tiny_config.py')
    cost = tool.measure(path, (64, 64), regions=2, repeats=1, channels_last=False, batch=0)
    assert cost['step'] == 0
    assert cost['find'] > 0


def test_counts_what_other_models_cost(tool, repository):
    projects = repository / 'projects'
    # Not the tiny config, channels-last: torch aborts at gradients of its 8 channels on some CPUs.
    plain = tool.measure(str(projects / 'unet_decoder' / 'fcn_resnet18-d8.py'), (64, 64), 2, 1, channels_last=True)
    assert plain['name'] == 0
    assert min(plain['gflop'], plain['segment'], plain['step']) > 0
    # What is looked at are crops of 64x64: of twice the regions it is twice as much, and the head is next to nothing.
    path = str(projects / 'region_classifier' / 'region_classifier.py')
    two, four = (tool.measure(path, (64, 64), regions, 1, False, process_time=True) for regions in (2, 4))
    assert four['gflop'] == pytest.approx(2 * two['gflop'])
    assert min(four['segment'], four['step']) > 0


def test_names_by_maps_cost_too(tool, repository, tmp_path, mmseg_scope):
    from mmengine.config import Config

    cfg = Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')
    channels = cfg.model.decode_head.in_channels[-1]
    path, without = str(tmp_path / 'config.py'), str(tmp_path / 'without.py')
    cfg.model.update(crop_neck=None, fine_backbone=None, fine_head=None)
    cfg.model.dense_heads = dict(names=dict(type='deepunetto_mm.FineMapHead', in_channels=[channels], in_index=(-1,)))
    cfg.model.region_names = 'names.logits'
    cfg.dump(path)
    cost = tool.measure(path, (64, 96), regions=3, repeats=1, channels_last=False)
    assert min(cost['name'], cost['step']) > 0
    cfg.model.update(dense_heads=None, region_names='logits', region_proposer=None)
    cfg.dump(without)
    assert cost['gflop'] > tool.measure(without, (64, 96), regions=3, repeats=1, channels_last=False)['gflop']
