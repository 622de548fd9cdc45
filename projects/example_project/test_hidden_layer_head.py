import sys
from pathlib import Path

import torch

from deepunetto_mm.registry import MODELS

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
import hidden_layer_head  # noqa: E402, F401

TAXONOMY = dict(
    classes=['background', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['round', 'long', 'odd'])]
)


def _head():
    return MODELS.build(dict(type='deepunetto_mm.HiddenLayerHead', taxonomy=TAXONOMY, in_channels=2, hidden_channels=2))


def test_negative_features_stop_at_the_hidden_layer():
    head = _head()
    with torch.no_grad():
        head.hidden[0].weight.copy_(torch.eye(2))
        head.hidden[0].bias.zero_()
        head.fc.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        head.fc.bias.zero_()
    feats = torch.tensor([3.0, -5.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(head([feats]), torch.tensor([[3.0, 0.0, 3.0]]))


def test_no_region_gives_no_logits_and_a_loss_of_zero():
    head, nothing = _head(), torch.zeros(0, dtype=torch.long)
    feats = [torch.zeros(0, 2, 4, 4)]
    assert head(feats).shape == (0, 3)
    assert head.loss(feats, nothing, nothing)['loss_cls'] == 0


def test_trains_and_tests(train_and_test):
    run = train_and_test(FOLDER / 'deepunetto_shapes_hidden-layer.py')
    assert type(run.model.fine_head).__name__ == 'HiddenLayerHead'
    assert set(run.losses) == {'decode.loss_ce', 'decode.loss_dice', 'fine.loss_cls', 'loss'}
    for sample in run.samples:
        assert sample.pred_regions.fine_scores.shape == (len(sample.pred_regions), 12)
