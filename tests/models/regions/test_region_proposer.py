import numpy as np
import pytest
import torch

from deepunetto_mm.models.regions.region_proposer import RegionProposer
from deepunetto_mm.ops import RegionTable
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat'],
        groups=[
            dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
            dict(name='cat', members=['cat'], fine_classes=['tabby']),
        ],
    )
)


def _table(region_map, ids, labels, bboxes, areas):
    return RegionTable(
        np.array(region_map, np.int32),
        np.array(ids, np.int64),
        np.array(labels, np.int64),
        np.array(bboxes, np.float32).reshape(-1, 4),
        np.array(areas, np.int64),
    )


def test_tables_become_regions_with_the_mean_probability_of_their_group():
    probs = torch.tensor([[[0.1, 0.2, 0.5]], [[0.8, 0.6, 0.1]], [[0.1, 0.2, 0.4]]])  # class, row, column
    logits = torch.stack([probs, probs.flip(2)]).log()
    maps = Maps({'logits': logits}, {'logits': 'logits'}, TAXONOMY)
    tables = [
        _table([[2, 2, 7]], [2, 7], [0, 1], [[0, 0, 2, 1], [2, 0, 3, 1]], [2, 1]),
        _table([[0, 0, 0]], [], [], [], []),
    ]
    regions, region_maps = RegionProposer.gather(tables, maps)
    assert region_maps.tolist() == [[[2, 2, 7]], [[0, 0, 0]]]
    assert region_maps.dtype == torch.int32
    assert regions[0].ids.tolist() == [2, 7]
    torch.testing.assert_close(regions[0].group_probs, torch.tensor([[0.7, 0.15], [0.1, 0.4]]))
    torch.testing.assert_close(regions[0].scores, torch.tensor([0.7, 0.4]))
    assert regions[0].areas.tolist() == [2, 1]
    assert len(regions[1]) == 0
    assert regions[1].group_probs.shape == (0, 2)
    assert regions[1].bboxes.shape == (0, 4)


def test_a_proposer_needs_a_forward():
    with pytest.raises(NotImplementedError, match='RegionProposer needs a forward'):
        RegionProposer(TAXONOMY)(None)
