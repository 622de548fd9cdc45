import sys
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models import MaskGuidedRoICrop
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures.maps import Maps

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
import own_parts  # noqa: E402, F401

TAXONOMY = dict(
    classes=['ground', 'snake', 'wall'],
    groups=[dict(name='snake', members=['snake'], fine_classes=['adder', 'boa'])],
)


@pytest.mark.parametrize(('gap', 'regions'), [(1, 2), (2, 1)])
def test_a_snake_behind_a_pole_is_one_region(gap, regions):
    label_map = torch.zeros(1, 8, 20, dtype=torch.long)
    label_map[0, 3:6, 2:18] = 1
    label_map[0, :, 9:11] = 2
    proposer = MODELS.build(dict(type='deepunetto_mm.ClosedGapsProposer', taxonomy=TAXONOMY, gap=gap))
    given = Maps.known(proposer.taxonomy, labels=label_map, group_probs=torch.ones(1, 1, 8, 20))
    found, maps = proposer(given)
    assert len(found[0]) == regions
    assert (maps[0, 3:6, 9:11] > 0).all() == (regions == 1)
    # The pole stays where it stood elsewhere, and what touches the border does not grow.
    assert not maps[0, :3].any()
    assert found[0].areas.sum() == (48 if regions == 1 else 42)


def test_dimmed_surroundings_lie_between_the_plain_box_and_the_blank():
    picture = torch.rand(1, 3, 16, 16)
    region_map = torch.zeros(1, 16, 16, dtype=torch.long)
    region_map[0, 4:12, 4:9] = 1
    regions = [InstanceData(ids=torch.tensor([1]), labels=torch.tensor([0]), bboxes=torch.tensor([[4.0, 4, 9, 12]]))]
    plain, hard = (
        MaskGuidedRoICrop(8, guidance=guidance)(regions, region_map, picture) for guidance in ('none', 'hard')
    )
    ours = MODELS.build(dict(type='deepunetto_mm.DimmedSurroundings', output_size=8, dimming=0.25))
    torch.testing.assert_close(ours(regions, region_map, picture), 0.25 * plain + 0.75 * hard)


def test_patches_do_not_see_their_neighbours():
    cones = MODELS.build(dict(type='deepunetto_mm.PatchCones', channels=8))
    crops = torch.rand(2, 3, 16, 16)
    (before,) = cones(crops)
    crops[:, :, :4, :4] = 0
    (after,) = cones(crops)
    assert before.shape == (2, 8, 4, 4)
    assert torch.equal(before[:, :, 1:], after[:, :, 1:])
    assert not torch.equal(before[:, :, 0, 0], after[:, :, 0, 0])
    assert cones(crops[:0])[0].shape == (0, 8, 4, 4)


def test_trains_and_tests(train_and_test):
    run = train_and_test(FOLDER / 'deepunetto_shapes_own-parts.py')
    parts = run.model.region_proposer, run.model.crop_neck, run.model.fine_backbone
    assert [type(part).__name__ for part in parts] == ['ClosedGapsProposer', 'DimmedSurroundings', 'PatchCones']
    assert set(run.losses) == {'decode.loss_ce', 'decode.loss_dice', 'fine.loss_cls', 'loss'}
    assert {'mIoU', 'fine/recognition'} <= set(run.figures)
