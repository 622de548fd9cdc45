import torch

from deepunetto_mm.utils.shared_kernels import fill_in_shared


def test_other_checkpoints_are_left_alone():
    backbone = {'m.backbone.a.weight': torch.zeros(2, 2), 'm.backbone.n.bias': torch.zeros(2)}
    norms, other = ({f'm.fine_branch.fine_backbone.n.{key}': torch.ones(2)} for key in ('bias', 'scale'))
    # The last is a smaller relative, as ResNet-18 is of ResNet-34: the first one has all its names, and more.
    smaller = {'m.fine_branch.fine_backbone.a.weight': torch.ones(2, 2)}
    table = {'m.backbone.table': torch.ones(2, 2)}
    larger = backbone | {'m.backbone.b.weight': torch.zeros(2, 2)}
    states = [
        backbone,
        backbone | other,
        backbone | {'m.fine_branch.fine_backbone.n.bias': torch.ones(3)},
        larger | norms | smaller,
        backbone | table | norms | {'m.fine_branch.fine_backbone.table': torch.zeros(2, 2)},
    ]
    for state in states:
        filled = dict(state)
        fill_in_shared(filled, 'm.')
        assert filled.keys() == state.keys()
    filled = backbone | table | norms | {'m.fine_branch.fine_backbone.table': torch.ones(2, 2)}  # an equal buffer
    fill_in_shared(filled, 'm.')
    assert 'm.fine_branch.fine_backbone.a.weight' in filled
    filled = backbone | norms
    fill_in_shared(filled)  # of another prefix
    assert filled.keys() == (backbone | norms).keys()
    fill_in_shared(filled, 'm.')
    assert filled['m.fine_branch.fine_backbone.a.weight'] is backbone['m.backbone.a.weight']
    assert filled['m.fine_branch.fine_backbone.n.bias'].tolist() == [1, 1]
