import json

import pytest
import torch
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from torch.optim import SGD

from deepunetto_mm.planning import PlanOptions, budget, make_plan
from deepunetto_mm.planning.start_weights import keep, read_network, write_start
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.shipped_configs import read_config

OLD = Taxonomy.from_dict(
    dict(
        classes=['background', 'cell', 'dirt'],
        groups=[dict(name='cell', members=['cell'], fine_classes=['round', 'long', 'square'])],
    )
)
NEW = Taxonomy.from_dict(
    dict(
        classes=['dirt', 'fibre', 'background', 'cell'],
        groups=[
            dict(name='fibre', members=['fibre'], fine_classes=['thick', 'thin']),
            dict(name='cell', members=['cell'], fine_classes=['square', 'round']),
        ],
    )
)


def _rows(count, first):
    return torch.arange(first, first + count, dtype=torch.float32)[:, None].repeat(1, 2)


def test_rows_move_with_their_names():
    """Rows by hand: each class has its own number."""
    trained = {
        'backbone.a': torch.full((3,), 7.0),
        'decode_head.b': torch.full((3,), 8.0),
        'decode_head.conv_seg.weight': _rows(3, 10),  # background 10, cell 11, dirt 12
        'fine_branch.fine_head.fc.bias': torch.tensor([20.0, 21.0, 22.0]),  # round, long, square
    }
    start = {
        'backbone.a': torch.zeros(3),
        'decode_head.b': torch.zeros(4),  # of another shape
        'decode_head.conv_seg.weight': -_rows(4, 1),
        'fine_branch.fine_head.fc.bias': -torch.arange(1.0, 5),
        'taxonomy_stamp.code': torch.tensor([1]),
    }
    report = keep(start, trained, OLD, NEW)
    assert start['backbone.a'].tolist() == [7, 7, 7]
    assert start['decode_head.b'].tolist() == [0, 0, 0, 0]
    assert start['decode_head.conv_seg.weight'][:, 0].tolist() == [12, -2, 10, 11]
    assert start['fine_branch.fine_head.fc.bias'].tolist() == [-1, -2, 22, 20]
    assert start['taxonomy_stamp.code'].tolist() == [1]
    assert report == [
        'encoder: kept',
        'decoder: 0 of 1 parameters kept',
        "class 'dirt': kept",
        "class 'fibre': starts from random weights",
        "class 'background': kept",
        "class 'cell': kept",
        "fine class 'thick': starts from random weights",
        "fine class 'thin': starts from random weights",
        "fine class 'square': kept",
        "fine class 'round': kept",
        "fine class 'long' of the checkpoint: left out",
    ]


def test_a_classifier_of_other_features_is_left_out_as_a_whole():
    trained = {
        'dense_heads.names.classifier.weight': torch.full((3, 128), 2.0),
        'dense_heads.names.classifier.bias': torch.full((3,), 2.0),
    }
    start = {
        'dense_heads.names.classifier.weight': torch.zeros(4, 160),
        'dense_heads.names.classifier.bias': torch.zeros(4),
    }
    report = keep(start, trained, OLD, NEW)
    assert start['dense_heads.names.classifier.bias'].tolist() == [0, 0, 0, 0]
    assert report == [f'fine class {name!r}: starts from random weights' for name in NEW.fine_classes]


def test_a_network_that_named_nothing():
    start = {'fine_branch.fine_head.fc.bias': torch.zeros(4)}
    report = keep(start, {}, OLD, NEW)
    assert report[0] == "fine class 'thick': starts from random weights"
    assert len(report) == 4


@pytest.fixture
def planned(annotated, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (1.0, 1.0))

    def planned(name, labels, **options):
        for index in range(6):
            shapes = [annotated.shape(labels[i], annotated.box(2 + 12 * i, 2, 9, 9 + index)) for i in range(3)]
            annotated.write_labelme(tmp_path / name / f'{index}.json', shapes)
        return make_plan(
            str(tmp_path / name), tmp_path / f'{name}_plan', 'mine', PlanOptions(**{'encoder': 'scratch', **options})
        )

    return planned


def _trained(config, path):
    """A checkpoint of a config's network, with numbers of its own."""
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(read_config(config).model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)
    return model.state_dict()


def test_the_plan_goes_on_from_a_checkpoint(planned, tmp_path):
    old = planned('old', ('cell/round', 'cell/long', 'dirt/dirt'), luminance=True)
    trained = _trained(old.config, tmp_path / 'old.pth')
    new = planned('new', ('cell/square', 'cell/round', 'fibre/thin'), encoder=None, start=str(tmp_path / 'old.pth'))
    cfg = read_config(new.config)
    state = torch.load(cfg.load_from, weights_only=True)['state_dict']
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(state)  # every parameter, and the new taxonomy
    assert model.taxonomy.fine_classes == ('round', 'square', 'thin')
    for key, value in trained.items():
        if not key.startswith(('decode_head.conv_seg', 'fine_branch.fine_head', 'taxonomy_stamp')):
            torch.testing.assert_close(state[key], value, rtol=0, atol=0)
    # Classes: background, cell, dirt before, and background, cell, fibre now; names: long, round, dirt before.
    for key, kept in (('decode_head.conv_seg.weight', {0: 0, 1: 1}), ('fine_branch.fine_head.fc.weight', {0: 1})):
        for row in range(3):
            same = [other for other in range(3) if torch.equal(state[key][row], trained[key][other])]
            assert same == ([kept[row]] if row in kept else []), (key, row)
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0  # five pictures are very few
    rates = SGD([dict(params=[torch.zeros(1)], lr=0.0), dict(params=[torch.zeros(1)], lr=0.1)])
    schedule = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[1], optimizer=rates), default_args=dict(epoch_length=2))
    for _ in range(2 * cfg.train_cfg.max_epochs):
        rates.step()
        schedule.step()
    assert [group['lr'] for group in rates.param_groups] == pytest.approx([0, 0.001], rel=1e-4)  # it keeps its weights
    assert "  fine class 'round': kept" in new.lines
    assert (
        "class 'dirt' of the checkpoint: left out" in json.loads((tmp_path / 'new_plan/plan.json').read_text())['kept']
    )


def test_crops_of_a_network_with_one_encoder_have_its_kernels(tmp_path):
    state = {
        'taxonomy_stamp.code': torch.tensor(list(json.dumps(OLD.to_dict()).encode()), dtype=torch.uint8),
        'backbone.kernel': torch.ones(2, 2),
        'backbone.norm': torch.zeros(2),
        'fine_branch.fine_backbone.norm': torch.ones(2),
    }
    torch.save(dict(state_dict=state), tmp_path / 'one.pth')
    read = read_network(str(tmp_path / 'one.pth')).state
    assert read['fine_branch.fine_backbone.kernel'].tolist() == [[1, 1], [1, 1]]
    assert read['fine_branch.fine_backbone.norm'].tolist() == [1, 1]


def test_networks_that_do_not_fit(planned, tmp_path):
    labels = ('cell/round', 'cell/long', 'dirt/dirt')
    made = planned('old', labels)
    state = _trained(made.config, tmp_path / 'old.pth')
    with pytest.raises(UsageError, match='--encoder efficientnet-lite0, but that of .*old.pth is scratch'):
        planned('new', labels, encoder='efficientnet-lite0', start=str(tmp_path / 'old.pth'))
    del state['backbone.conv1.weight']
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    with pytest.raises(UsageError, match='tools/plan.py does not choose its encoder'):
        write_start(read_config(made.config), read_network(str(tmp_path / 'other.pth')), tmp_path / 'start.pth')
    del state['taxonomy_stamp.code']
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    with pytest.raises(UsageError, match='carries no taxonomy'):
        read_network(str(tmp_path / 'other.pth'))
