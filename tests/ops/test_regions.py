from functools import partial

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.fine import composing
from deepunetto_mm.models.fine.composing import write_regions
from deepunetto_mm.ops import connected_regions, region_means, regions, row_strips, share_of_mean
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat'],
        groups=[dict(name=name, members=[name], fine_classes=[name]) for name in ('dog', 'cat')],
    )
)


@pytest.mark.parametrize('pixels', [1, 61, 7 * 60])
def test_means_and_names_in_strips(monkeypatch, pixels):
    label_map = np.random.default_rng(0).integers(0, 3, (40, 60))
    table = connected_regions(label_map, [-1, 0, 1], min_area=3)
    region_map, ids = torch.from_numpy(table.region_map), torch.from_numpy(table.ids)
    values = torch.rand(4, 40, 60)
    means = region_means(region_map, ids, values)
    found = InstanceData(ids=ids, fine_labels=torch.arange(len(ids)) % 2, fine_scores=torch.rand(len(ids), 2))
    probs, composed = torch.rand(2, 40, 60), torch.zeros(2, 40, 60, dtype=torch.int16)
    for plane, votes in zip(composed, (None, probs)):
        write_regions(plane, region_map, found, TAXONOMY, votes)
    for module in (regions, composing):
        monkeypatch.setattr(module, 'row_strips', partial(row_strips, pixels=pixels))
    torch.testing.assert_close(region_means(region_map, ids, values), means, rtol=1e-12, atol=1e-12)
    for plane, votes in zip(composed, (None, probs)):
        again = torch.zeros(40, 60, dtype=torch.int16)
        write_regions(again, region_map, found, TAXONOMY, votes)
        assert torch.equal(again, plane)
        assert set(again.unique().tolist()) == {0, 1, 2}


def test_means_of_two_maps_over_two_regions():
    region_map = torch.tensor([[3, 3, 0], [7, 9, 3]])
    values = torch.tensor([[[1.0, 2, 50], [4, 60, 6]], [[0.0, 0, 0], [1, 0, 3]]])
    means = region_means(region_map, torch.tensor([3, 7]), values)  # 9 is not asked for
    torch.testing.assert_close(means, torch.tensor([[3.0, 1.0], [4.0, 1.0]]))


def test_nothing_to_average():
    values = torch.ones(2, 2, 2)
    assert region_means(torch.zeros(2, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long), values).shape == (0, 2)
    absent = region_means(torch.zeros(2, 2, dtype=torch.long), torch.tensor([4]), values)
    assert absent.tolist() == [[0, 0]]


def test_two_processes_have_their_shares_of_one_mean(monkeypatch):
    """Losses 1, 2, 3 with weights 1, 1, 2 here and one of 5 with weight 4 there: 29 / 8 over both."""
    monkeypatch.setattr('mmengine.dist.all_reduce', lambda weight, op: weight.fill_((4 + 4) / 2))
    here, there = (share_of_mean(torch.tensor(total), torch.tensor(4.0)) for total in (1.0 + 2 + 6, 20.0))
    assert (here + there) / 2 == 29 / 8


def test_no_weight_in_any_process_is_a_share_of_zero():
    assert share_of_mean(torch.tensor(0.0), torch.tensor(0)) == 0
